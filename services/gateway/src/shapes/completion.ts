import { type CompletionTap, fromCompletion, openCompletionTap } from '@sluice/usage'
import { endCompletion } from '../endings/end-completion.ts'
import { readJson } from './read-json.ts'
import type { ReplyShape } from './reply-shape.ts'

/** Anthropic's legacy completions: no usage in any reply, so both sides are estimated from their text. */
export const completion: ReplyShape = {
  read: (body, facts) => readJson(body, facts, fromCompletion),
  openStream({ model }) {
    const tap: CompletionTap = openCompletionTap({ model })
    return { tap, end: ending => endCompletion(tap.state, ending) }
  },
}
