import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createStoreKeeper } from './keep-store.ts'

const crashed = Promise.resolve({ code: null, signal: 'SIGKILL' as const })

test('a store that does not come up is tried until it does; that is said once, and that it came', async () => {
  const lines: string[] = []
  const keeper = createStoreKeeper({
    name: 'PostgreSQL',
    signal: new AbortController().signal,
    log: line => void lines.push(line),
    pausesMs: [0, 1],
  })
  let attempts = 0
  await new Promise<void>(resolve => {
    keeper.watch(crashed, async () => {
      if (++attempts < 5) throw new Error('The port is taken.')
      setImmediate(resolve)
    })
  })
  assert.equal(attempts, 5)
  assert.deepEqual(lines, [
    'PostgreSQL ended by itself (SIGKILL); starting it again',
    'The port is taken. PostgreSQL is tried again until it comes up.',
    'PostgreSQL runs again',
  ])
})

test('pauses grow, also between starts that end soon, and an end cuts them short', async () => {
  const ending = new AbortController()
  const keeper = createStoreKeeper({ name: 'NATS', signal: ending.signal, log: () => {}, pausesMs: [0, 3_600_000] })
  let starts = 0
  await new Promise<void>(resolve => {
    keeper.watch(crashed, async () => {
      starts++
      // Came up, and has ended at once.
      keeper.watch(crashed, async () => void starts++)
      setImmediate(resolve)
    })
  })
  // The test process itself waits for an hour where the pause goes on.
  ending.abort()
  assert.equal(starts, 1)
})
