import { type ChatTap, chatCompletionMembers, fromChatCompletion, openChatTap } from '@sluice/usage'
import { endChat } from '../endings/end-chat.ts'
import { type JsonReply, openJson, readJson } from './read-json.ts'
import type { ReplyShape } from './reply-shape.ts'
import { SpokenBody } from './spoken-body.ts'

const reply: JsonReply = { convert: fromChatCompletion, members: chatCompletionMembers }

/** Chat completions. */
export const chat: ReplyShape = {
  read(body, facts) {
    const usage = readJson(body, facts, reply)
    if (usage.raw_usage !== null || !facts.sound?.speaks) return usage
    const spoken = new SpokenBody(facts.sound.format)
    spoken.write(body)
    return spoken.addTo(usage)
  },
  openLarge(facts) {
    const reader = openJson(facts, reply)
    if (!facts.sound?.speaks) return reader
    const spoken = new SpokenBody(facts.sound.format)
    return {
      write(chunk) {
        reader.write(chunk)
        spoken.write(chunk)
      },
      usage: isWhole => spoken.addTo(reader.usage(isWhole)),
    }
  },
  openStream({ model, withholdUsage }) {
    const tap: ChatTap = openChatTap({ model, withholdUsageChunk: withholdUsage })
    return { tap, end: ending => endChat(tap.state, ending) }
  },
}
