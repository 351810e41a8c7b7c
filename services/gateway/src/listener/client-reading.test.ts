import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import test from 'node:test'
import { readClient } from './client-reading.ts'

test('a plain connection is read past the stream of its socket, until that is asked for', async t => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  t.after(() => {
    client.destroy()
    server.close()
  })
  const [accepted] = (await once(server, 'connection')) as [Socket]
  const told: string[] = []
  let onTold = (): void => {}
  const { socket, stop } = readClient(accepted, bytes => {
    told.push(String(bytes))
    onTold()
  })
  t.after(() => socket.destroy())
  const streamed = t.mock.method(socket, 'push')

  const first = new Promise<void>(resolve => {
    onTold = resolve
  })
  client.write('one')
  await first
  assert.deepEqual(told, ['one'])
  assert.equal(streamed.mock.callCount(), 0)

  stop()
  client.write('two')
  const [bytes] = (await once(socket, 'data')) as [Buffer]
  assert.equal(String(bytes), 'two')
  assert.deepEqual(told, ['one'])
})
