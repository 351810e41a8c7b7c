import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { createClientServer } from './client-server.ts'

const pem = (name: string) => fileURLToPath(new URL(`../../test/fixtures/tls/${name}.pem`, import.meta.url))

test('a client that never ends its handshake is let go', { timeout: 60_000 }, async t => {
  const server = createClientServer({ certFile: pem('trusted'), keyFile: pem('provider-key') }, {}, () => {
    assert.fail('a request')
  })
  t.after(() => server.close())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const begun = performance.now()
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  t.after(() => socket.destroy())
  socket.on('error', () => undefined)
  // The beginning of a record that says hello, and no more of it.
  socket.write(Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00]))
  await once(socket.resume(), 'close')
  t.diagnostic(`after ${Math.round((performance.now() - begun) / 1_000)} s`)
})
