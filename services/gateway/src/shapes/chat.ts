import { type ChatTap, fromChatCompletion, openChatTap } from '@sluice/usage'
import { endChat } from '../endings/end-chat.ts'
import { readJson } from './read-json.ts'
import type { ReplyShape } from './reply-shape.ts'

/** Chat completions. */
export const chat: ReplyShape = {
  read: (body, facts) => readJson(body, facts, fromChatCompletion),
  openStream({ model, withholdUsage }) {
    const tap: ChatTap = openChatTap({ model, withholdUsageChunk: withholdUsage })
    return { tap, end: ending => endChat(tap.state, ending) }
  },
}
