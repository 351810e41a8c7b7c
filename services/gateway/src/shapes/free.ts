import { freeUsage, openFreeTap } from '@sluice/usage'
import type { ReplyShape } from './reply-shape.ts'

/** What costs nothing, whatever it says, and of which nothing is kept: moderations, files. */
export const free: ReplyShape = {
  read: () => freeUsage(),
  openStream: () => ({ tap: openFreeTap(), end: () => '' }),
}
