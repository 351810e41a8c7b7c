import {
  applyInHalves,
  type BatchConsumer,
  type Bus,
  consumeBatches,
  type JsMsg,
  rangeOfMessage,
  readAgain,
} from '@sluice/bus'
import { ContractError, GatewayEpochClosed, UsageAdjusted } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'
import { isRefusedForGood } from '../dead-letter-store.ts'
import { buryMessage, splitMessage } from '../refused-message.ts'
import type { UsageMessage } from '../usage-message.ts'

export interface UsageConsumerDeps {
  /** Commits messages in one transaction; what it throws brings them again. */
  apply: (messages: readonly UsageMessage[]) => Promise<void>
  /** The message of the stream from which on something may be missing here. */
  findPositionToReadFrom: () => Promise<number>
  log: Logger
}

// Small batches: the sum of a batch is seen at its commit, and a cutoff must not wait for a long one.
const maxMessages = 32

/**
 * Follows usage, adjustments and ends of epochs. First what the database does not have although it was acked (a restore, a
 * gap), then what is new. What the store refuses for its content becomes a dead letter alone.
 */
export async function consumeUsage(bus: Bus, deps: UsageConsumerDeps): Promise<BatchConsumer> {
  const handle = async (messages: JsMsg[]) => {
    await applyInHalves(messages.map(readMessage), {
      apply: deps.apply,
      isRefusal: isRefusedForGood,
      split: splitMessage,
      bury: buryMessage,
    })
  }
  const from = await deps.findPositionToReadFrom()
  const read = await readAgain(bus, 'budget-windows', from, handle, maxMessages)
  if (read > 0) deps.log.info({ from, messages: read }, 'read again what this database may miss')
  return consumeBatches(bus, 'budget-windows', { handle, maxMessages, log: deps.log })
}

function readMessage(message: JsMsg): UsageMessage {
  const place = { streamSeq: message.seq, subject: message.subject }
  try {
    if (message.subject === UsageAdjusted.subject())
      return { ...place, kind: 'adjusted', adjustment: UsageAdjusted.decode(message.data) }
    if (message.subject === GatewayEpochClosed.subject())
      return { ...place, kind: 'epoch-closed', closed: GatewayEpochClosed.decode(message.data) }
    return { ...place, kind: 'recorded', range: rangeOfMessage(message), body: message.data }
  } catch (error) {
    if (!(error instanceof ContractError)) throw error
    return { ...place, kind: 'unreadable', reason: error.message, body: message.data }
  }
}
