import { freeUsage, fromCountTokens, openFreeTap } from '@sluice/usage'
import { maxParsedBytes, parse } from './read-json.ts'
import type { ReplyShape } from './reply-shape.ts'

/** Token counts and look-ups: what costs nothing, whatever it says. */
export const tokenCount: ReplyShape = {
  read(body, facts) {
    const parsed = facts.wholeBytes > maxParsedBytes ? undefined : parse(body)
    return parsed === undefined ? freeUsage() : fromCountTokens(parsed)
  },
  openStream: () => ({ tap: openFreeTap(), end: () => '' }),
}
