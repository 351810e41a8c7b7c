import { type BatchConsumer, type Bus, consumeBatches, type JsMsg } from '@sluice/bus'
import { BalanceExhausted, BalanceRestored, ContractError } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'
import type { ToldBalance } from '../project-balance-store.ts'

/**
 * Follows what billing tells of prepaid projects. Each message is a state with its version, and billing tells all of them again at each start: one that
 * cannot be read is logged and passed over.
 */
export function consumeBalances(
  bus: Bus,
  { apply, log }: { apply: (told: readonly ToldBalance[]) => Promise<void>; log: Logger },
): Promise<BatchConsumer> {
  const read = (message: JsMsg): ToldBalance[] => {
    try {
      const exhausted = message.subject === BalanceExhausted.subject()
      const event = exhausted ? BalanceExhausted : BalanceRestored
      return [{ ...event.decode(message.data), exhausted }]
    } catch (err) {
      if (!(err instanceof ContractError)) throw err
      log.error({ err, streamSeq: message.seq }, 'balance of a project cannot be read')
      return []
    }
  }
  return consumeBatches(bus, 'budget-balances', { handle: messages => apply(messages.flatMap(read)), log })
}
