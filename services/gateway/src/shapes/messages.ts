import { fromMessage, type MessagesTap, messageMembers, openMessagesTap } from '@sluice/usage'
import { endMessages } from '../endings/end-messages.ts'
import { type JsonReply, openJson, readJson } from './read-json.ts'
import type { ReplyShape } from './reply-shape.ts'

const reply: JsonReply = { convert: fromMessage, members: messageMembers }

/** Messages and their events. */
export const messages: ReplyShape = {
  read: (body, facts) => readJson(body, facts, reply),
  openLarge: facts => openJson(facts, reply),
  openStream({ model }) {
    const tap: MessagesTap = openMessagesTap({ model })
    return { tap, end: ending => endMessages(tap.state, ending) }
  },
}
