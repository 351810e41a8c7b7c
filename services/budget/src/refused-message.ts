import { adjustmentSeries, UsageAdjusted } from '@sluice/contracts'
import type { UsageMessage } from './usage-message.ts'

/** The two halves of a message of several events, each of a range of its own; undefined where it cannot be halved. */
export function splitMessage(message: UsageMessage): [UsageMessage, UsageMessage] | undefined {
  if (message.kind !== 'recorded') return undefined
  const { range } = message
  const body = Buffer.from(message.body)
  const middle = (range.last - range.first + 1) >> 1
  let end = 0
  for (let line = 0; line < middle; line++) {
    end = body.indexOf('\n', end) + 1
    // Fewer lines than numbers: a dead letter as a whole, which no half of it would be.
    if (end === 0) return undefined
  }
  if (middle === 0) return undefined
  const at = range.first + middle
  return [
    { ...message, range: { ...range, last: at - 1 }, body: body.subarray(0, end) },
    { ...message, range: { ...range, first: at }, body: body.subarray(end) },
  ]
}

/** What is applied instead of a message that the store refuses: a dead letter. */
export function buryMessage(message: UsageMessage, reason: string): UsageMessage | undefined {
  const { streamSeq, subject } = message
  switch (message.kind) {
    case 'recorded':
      return { streamSeq, subject, kind: 'refused', range: message.range, reason, body: message.body }
    case 'adjusted': {
      const { seq } = message.adjustment
      const body = Buffer.from(UsageAdjusted.encode(message.adjustment))
      return {
        streamSeq,
        subject,
        kind: 'refused',
        range: { ...adjustmentSeries, first: seq, last: seq },
        reason,
        body,
      }
    }
    case 'epoch-closed':
      return { streamSeq, subject, kind: 'unreadable', reason, body: Buffer.from(JSON.stringify(message.closed)) }
    case 'refused':
      return { streamSeq, subject, kind: 'unreadable', reason, body: message.body }
    case 'unreadable':
      return undefined
  }
}
