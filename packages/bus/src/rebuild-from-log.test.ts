import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { test } from 'node:test'
import { createLogger } from '@sluice/runtime'
import type { Bus } from './connect.ts'
import { beginAtOnce, startRebuilds } from './rebuild-from-log.ts'

test('a rebuild that is begun here is looked for at once, and not only when others would find it', async t => {
  const looks = new EventEmitter()
  const memory = {
    read: async () => void looks.emit('look'),
    begin: async () => ({ begun: true }),
    save: async () => {},
    alone: async () => false,
  }
  const target = {
    applyBatches: async () => {},
    applyAdjustments: async () => {},
    closeEpochs: async () => {},
    finish: async () => {},
  }
  const first = once(looks, 'look')
  const options = { log: createLogger('bus', 'silent'), pollMs: 3_600_000 }
  const rebuilds = startRebuilds({} as Bus, memory, target, options)
  t.after(rebuilds.close)
  await first
  const { begin } = beginAtOnce(memory, rebuilds)
  for (let times = 0; times < 3; times++) {
    const look = once(looks, 'look')
    assert.deepEqual(await begin(), { begun: true })
    await look
  }
})
