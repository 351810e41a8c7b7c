import type { Bus } from '@sluice/bus'
import { KeysUsed, maxKeysUsed } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'
import type { KeysView } from './views/keys-view.ts'

/**
 * Tells accounts now and then which keys have been used, many in one message: nothing of it is on the way of a call, which leaves a
 * time at its key. What is not answered is told again the next time; nothing piles up meanwhile, since each key has one time.
 */
export function startTellingKeysUsed(options: {
  bus: Bus
  keys: Pick<KeysView, 'usedUntold'>
  gatewayId: string
  intervalMs: number
  log: Logger
}): { close: () => Promise<void> } {
  const { bus, keys, gatewayId, log } = options
  let telling: Promise<void> | undefined

  async function tell(): Promise<void> {
    const all = keys.usedUntold()
    for (let from = 0; from < all.length && bus.isConnected(); from += maxKeysUsed) {
      const told = all.slice(from, from + maxKeysUsed).map(active => ({ active, atMs: active.usedAtMs }))
      const used = told.map(({ active, atMs }) => ({ key_id: active.key.key_id, at_ms: atMs }))
      const message = KeysUsed.encode({ gateway_id: gatewayId, used })
      await bus.connection.request(KeysUsed.subject(), message, { timeout: 2_000 })
      for (const { active, atMs } of told) active.toldAtMs = atMs
    }
  }

  const beat = (): void => {
    telling ??= tell()
      .catch(err => log.debug({ err }, 'use of keys not told, will be told again'))
      .finally(() => {
        telling = undefined
      })
  }
  const timer = setInterval(beat, options.intervalMs)
  return {
    async close() {
      clearInterval(timer)
      await telling
      beat()
      await telling
    },
  }
}
