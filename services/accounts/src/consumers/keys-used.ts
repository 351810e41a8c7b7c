import { answerRequests, type Bus } from '@sluice/bus'
import { KeysUsed } from '@sluice/contracts'
import { type Logger, withinScope } from '@sluice/runtime'
import { markKeysUsed } from '../api-key-store.ts'
import type { Db } from '../db/schema.ts'

/** Stores what gateways say of the use of keys, then answers. A message that comes again changes nothing. */
export function storeKeysUsed(deps: { bus: Bus; db: Db; now: () => number; log: Logger }): {
  close: () => Promise<void>
} {
  return answerRequests(
    deps.bus,
    KeysUsed.subject(),
    async body => {
      const { used } = KeysUsed.decode(body)
      await withinScope({ system: true }, () => markKeysUsed(deps.db, used, deps.now()))
      return { body: '' }
    },
    { log: deps.log, concurrency: 1 },
  )
}
