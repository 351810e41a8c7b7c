import { ContractError, GatewayEpochClosed, type GatewayEpochClosedData, type SeriesRange } from '@sluice/contracts'
import { readUsageBatch, refuseLine, type UsageLine } from './usage-batch.ts'

/** A message of the stream, read as far as it can be. Nothing of it throws later: what cannot be applied says why. */
export type ReceivedMessage =
  | { kind: 'usage'; range: SeriesRange; lines: UsageLine[] }
  /** The range is known, its lines are not. */
  | { kind: 'unreadable'; range: SeriesRange; content: Uint8Array; reason: string }
  | { kind: 'epoch-closed'; closed: GatewayEpochClosedData; content: Uint8Array }
  /** Not even the range is known. */
  | { kind: 'unplaced'; content: Uint8Array; reason: string }

/** Reads one message. `readRange` throws where the headers do not name a range. */
export function readMessage(subject: string, content: Uint8Array, readRange: () => SeriesRange): ReceivedMessage {
  try {
    if (subject === GatewayEpochClosed.subject())
      return { kind: 'epoch-closed', closed: GatewayEpochClosed.decode(content), content }
    const range = readRange()
    try {
      return { kind: 'usage', range, lines: readUsageBatch({ range, body: content }) }
    } catch (error) {
      if (!(error instanceof ContractError)) throw error
      return { kind: 'unreadable', range, content, reason: error.message }
    }
  } catch (error) {
    if (!(error instanceof ContractError)) throw error
    return { kind: 'unplaced', content, reason: error.message }
  }
}

/** The two halves of a message of several events, each of a range of its own; undefined where it cannot be halved. */
export function splitMessage(message: ReceivedMessage): [ReceivedMessage, ReceivedMessage] | undefined {
  if (message.kind !== 'usage' || message.lines.length < 2) return undefined
  const { range, lines } = message
  const middle = lines.length >> 1
  const at = range.first + middle
  return [
    { kind: 'usage', range: { ...range, last: at - 1 }, lines: lines.slice(0, middle) },
    { kind: 'usage', range: { ...range, first: at }, lines: lines.slice(middle) },
  ]
}

/** What is posted instead of a message that the store refuses: its number counts as received, its content is put aside. */
export function buryMessage(message: ReceivedMessage, reason: string): ReceivedMessage | undefined {
  switch (message.kind) {
    case 'usage': {
      const [line] = message.lines
      if (line?.event) return { ...message, lines: [refuseLine(line, reason)] }
      return { kind: 'unplaced', content: Buffer.from(line?.text ?? ''), reason }
    }
    case 'unreadable':
    case 'epoch-closed':
      return { kind: 'unplaced', content: message.content, reason }
    case 'unplaced':
      return undefined
  }
}
