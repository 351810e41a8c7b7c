import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connectBus } from '@sluice/bus'
import { createLogger } from '@sluice/runtime'
import { testNats } from '@sluice/test-env'

test('a connection whose server goes while it is drained is closed all the same', async t => {
  const nats = await testNats(t, { provision: false })
  const { user, pass } = nats.users.budget
  const log = createLogger('server-gone-test', 'silent')
  const bus = await connectBus({ url: nats.url, user, password: pass }, user, log)
  process.kill(nats.process.pid, 'SIGSTOP')
  const closing = bus.close()
  process.kill(nats.process.pid, 'SIGKILL')
  await closing
  assert.ok(bus.connection.isClosed())
})
