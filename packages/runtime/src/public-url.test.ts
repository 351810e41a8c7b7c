import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { test } from 'node:test'
import { postPublic } from './post-public.ts'
import { PublicUrlError, readPublicUrl } from './public-url.ts'

const rules = { field: 'url', secretField: 'nothing', allowPrivate: false }
const problemOf = (url: string, more: object = {}) => {
  try {
    readPublicUrl(url, { ...rules, ...more })
    return undefined
  } catch (error) {
    assert.ok(error instanceof PublicUrlError)
    return error.problem
  }
}

test('an address is taken, with a query where it may have one, unless it is private, unencrypted or none', () => {
  assert.equal(problemOf('https://hooks.example.com/a?token=1'), 'invalid')
  const query = { mayHaveQuery: true }
  assert.equal(problemOf('https://hooks.example.com/a?token=1', query), undefined)
  assert.equal(problemOf('https://hooks.example.com/a?token=1#b', query), 'invalid')
  assert.equal(problemOf('http://hooks.example.com/a', query), 'invalid')
  assert.equal(problemOf('https://hooks.example.com:25/a', query), 'invalid')
  for (const host of ['127.1', '2130706433', '[::ffff:7f00:1]', '169.254.169.254', 'metadata', 'a.internal'])
    assert.equal(problemOf(`https://${host}/a?b`, query), 'private', host)
  assert.equal(problemOf('http://127.0.0.1/a', { allowPrivate: true }), undefined)
})

test('nothing is sent to a private address that was taken once, and no redirect is followed', async t => {
  let asked = 0
  const server = createServer((request, response) => {
    asked++
    response.writeHead(request.url === '/redirects' ? 307 : 200, { location: '/elsewhere' }).end('words')
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const post = (url: string, allowPrivate: boolean) =>
    postPublic({ url, headers: {}, body: 'x', timeoutMs: 2_000, allowPrivate })
  for (const host of ['127.0.0.1', 'localhost', '[::ffff:127.0.0.1]'])
    assert.deepEqual(await post(`http://${host}:${port}/`, false), { failure: 'private' }, host)
  assert.equal(asked, 0)
  assert.deepEqual(await post(`http://localhost:${port}/redirects`, true), { httpStatus: 307 })
  assert.equal(asked, 1)
})

test('who does not answer in time, and who is not there, is told apart', async t => {
  const server = createServer(() => {})
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const post = (timeoutMs: number) =>
    postPublic({ url: `http://127.0.0.1:${port}/`, headers: {}, body: 'x', timeoutMs, allowPrivate: true })
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  assert.deepEqual(await post(50), { failure: 'timeout' })
  server.closeAllConnections()
  await new Promise(resolve => server.close(resolve))
  assert.deepEqual(await post(2_000), { failure: 'unreachable', code: 'ECONNREFUSED' })
})

test('a server that switches protocols has answered, and keeps nobody waiting', async t => {
  const server = createTcpServer(socket => {
    socket.on('error', () => {})
    socket.once('data', () =>
      socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n'),
    )
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  const posting = postPublic({ url, headers: {}, body: 'x', timeoutMs: 200, allowPrivate: true })
  const late = new Promise(resolve => setTimeout(() => resolve('nobody has said anything'), 5_000).unref())
  assert.deepEqual(await Promise.race([posting, late]), { httpStatus: 101 })
})
