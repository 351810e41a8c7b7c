import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import { test } from 'node:test'
import Fastify from 'fastify'
import { limitClosing } from './limit-closing.ts'

test('a connection on which nothing was sent does not hold a server that closes; a request under way has its grace', async () => {
  const app = Fastify()
  limitClosing(app, 300)
  let answer = () => {}
  app.get('/', async () => {
    await new Promise<void>(resolve => {
      answer = resolve
    })
    return 'done'
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  const silent = connect(port, '127.0.0.1')
  const accepted = once(app.server, 'connection')
  await Promise.all([once(silent, 'connect'), accepted])
  const arrived = once(app.server, 'request')
  const underWay = fetch(`http://127.0.0.1:${port}/`).then(response => response.text())
  await arrived
  const closed = app.close()
  setTimeout(answer, 100)
  assert.equal(await underWay, 'done')
  const gone = once(silent, 'close')
  await closed
  await gone
})
