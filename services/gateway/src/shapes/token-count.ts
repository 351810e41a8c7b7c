import { freeUsage, fromCountTokens } from '@sluice/usage'
import { chat } from './chat.ts'
import { maxParsedBytes, parse } from './read-json.ts'
import type { ReplyShape } from './reply-shape.ts'

/** Token counts: a number that costs nothing. */
export const tokenCount: ReplyShape = {
  read(body, facts) {
    const parsed = facts.wholeBytes > maxParsedBytes ? undefined : parse(body)
    return parsed === undefined ? freeUsage() : fromCountTokens(parsed)
  },
  openStream: chat.openStream,
}
