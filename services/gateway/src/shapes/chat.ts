import { type ChatTap, chatCompletionMembers, fromChatCompletion, openChatTap } from '@sluice/usage'
import { endChat } from '../endings/end-chat.ts'
import { type JsonReply, openJson, readJson } from './read-json.ts'
import type { ReplyShape } from './reply-shape.ts'

const reply: JsonReply = { convert: fromChatCompletion, members: chatCompletionMembers }

/** Chat completions. */
export const chat: ReplyShape = {
  read: (body, facts) => readJson(body, facts, reply),
  openLarge: facts => openJson(facts, reply),
  openStream({ model, withholdUsage }) {
    const tap: ChatTap = openChatTap({ model, withholdUsageChunk: withholdUsage })
    return { tap, end: ending => endChat(tap.state, ending) }
  },
}
