import { ContractError, GatewayEpochClosed, type GatewayEpochClosedData, type SeriesRange } from '@sluice/contracts'
import { readUsageBatch, type UsageLine } from './usage-batch.ts'

/** A message of the stream, read as far as it can be. Nothing of it throws later: what cannot be applied says why. */
export type ReceivedMessage =
  | { kind: 'usage'; range: SeriesRange; lines: UsageLine[] }
  /** The range is known, its lines are not. */
  | { kind: 'unreadable'; range: SeriesRange; content: Uint8Array; reason: string }
  | { kind: 'epoch-closed'; closed: GatewayEpochClosedData }
  /** Not even the range is known. */
  | { kind: 'unplaced'; content: Uint8Array; reason: string }

/** Reads one message. `readRange` throws where the headers do not name a range. */
export function readMessage(subject: string, content: Uint8Array, readRange: () => SeriesRange): ReceivedMessage {
  try {
    if (subject === GatewayEpochClosed.subject())
      return { kind: 'epoch-closed', closed: GatewayEpochClosed.decode(content) }
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
