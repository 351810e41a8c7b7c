import { fromMessage, type MessagesTap, openMessagesTap } from '@sluice/usage'
import { endMessages } from '../endings/end-messages.ts'
import { readJson } from './read-json.ts'
import type { ReplyShape } from './reply-shape.ts'

/** Messages and their events. */
export const messages: ReplyShape = {
  read: (body, facts) => readJson(body, facts, fromMessage),
  openStream({ model }) {
    const tap: MessagesTap = openMessagesTap({ model })
    return { tap, end: ending => endMessages(tap.state, ending) }
  },
}
