import { type CompletionTap, completionMembers, fromCompletion, openCompletionTap } from '@sluice/usage'
import { endCompletion } from '../endings/end-completion.ts'
import { type JsonReply, openJson, readJson } from './read-json.ts'
import type { ReplyShape } from './reply-shape.ts'

const reply: JsonReply = { convert: fromCompletion, members: completionMembers }

/** Anthropic's legacy completions: no usage in any reply, so both sides are estimated from their text. */
export const completion: ReplyShape = {
  read: (body, facts) => readJson(body, facts, reply),
  openLarge: facts => openJson(facts, reply),
  openStream({ model }) {
    const tap: CompletionTap = openCompletionTap({ model })
    return { tap, end: ending => endCompletion(tap.state, ending) }
  },
}
