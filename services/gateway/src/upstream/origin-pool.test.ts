import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { callProvider, startRawProvider } from '../../test/raw-provider.ts'

const answer = (body: string, more = '') => `HTTP/1.1 200 OK\r\n${more}content-length: ${body.length}\r\n\r\n${body}`

test('a request goes out as it was given, and its connection serves the next', async t => {
  const seen: string[] = []
  const { pool, connections } = await startRawProvider(t, (socket, text) => {
    seen.push(text)
    socket.write(answer('ok'))
  })
  for (let i = 0; i < 3; i++) assert.deepEqual([(await callProvider(pool)).status, connections()], [200, 1])
  const host = pool.host
  assert.equal(
    seen[0],
    `POST /v1/x?a=1 HTTP/1.1\r\nhost: ${host}\r\nconnection: keep-alive\r\nx-a: b\r\ncontent-length: 2\r\n\r\n{}`,
  )
})

test('a large body arrives byte for byte', async t => {
  const body = Buffer.from(Array.from({ length: 300_000 }, (_, i) => i & 0xff))
  let received = ''
  const { pool } = await startRawProvider(t, (socket, text) => {
    received += text
    if (received.length - received.indexOf('\r\n\r\n') - 4 === body.length) socket.write(answer('ok'))
  })
  assert.equal((await callProvider(pool, { body })).status, 200)
  assert.ok(Buffer.from(received, 'latin1').subarray(-body.length).equals(body))
})

test('calls at once have a connection each', async t => {
  const { pool, connections } = await startRawProvider(t, socket => setTimeout(() => socket.write(answer('ok')), 20))
  const results = await Promise.all(Array.from({ length: 5 }, () => callProvider(pool)))
  assert.ok(results.every(({ body }) => body === 'ok'))
  assert.equal(connections(), 5)
})

test('a connection that the provider closes, or is about to close, is not used again', async t => {
  const closing = ['connection: close\r\n', 'keep-alive: timeout=1\r\n']
  const { pool, connections } = await startRawProvider(t, (socket, _, connection) =>
    socket.write(answer('ok', closing[connection - 1])),
  )
  for (let i = 1; i <= 3; i++) assert.deepEqual([(await callProvider(pool)).body, connections()], ['ok', i])
  await callProvider(pool)
  assert.equal(connections(), 3)
})

test('an answer that breaks off is an error, and nothing of it reaches the next call', async t => {
  const { pool } = await startRawProvider(t, (socket, _, connection) => {
    if (connection === 1) socket.end('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf')
    else socket.write(answer('whole'))
  })
  const broken = await callProvider(pool)
  assert.deepEqual([broken.error, broken.body], ['OTHER_SIDE_CLOSED', 'half'])
  assert.equal((await callProvider(pool)).body, 'whole')
})

test('an early answer to a body that is still going out does not leave its rest on a connection', {
  timeout: 20_000,
}, async t => {
  const { pool, connections } = await startRawProvider(t, (socket, text, connection) => {
    if (connection > 1) socket.write(answer('second'))
    else if (text.startsWith('POST')) {
      socket.pause()
      socket.write(answer('early'))
    }
  })
  assert.equal((await callProvider(pool, { body: Buffer.alloc(32 * 1024 * 1024) })).body, 'early')
  // The connection is looked at once more.
  await new Promise(setImmediate)
  assert.equal((await callProvider(pool)).body, 'second')
  assert.equal(connections(), 2)
})

test('silence ends in a timeout of its own: before the answer, and in the middle of it', async t => {
  const { pool } = await startRawProvider(t, (socket, _, connection) => {
    if (connection === 2) socket.write('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf')
  })
  const clock = setInterval(() => pool.check(performance.now()), 10)
  t.after(() => clearInterval(clock))
  assert.equal((await callProvider(pool, { headersTimeoutMs: 50 })).error, 'HEADERS_TIMEOUT')
  assert.equal((await callProvider(pool, { idleTimeoutMs: 50 })).error, 'IDLE_TIMEOUT')
})

test('the patience for an answer ends with its head, whatever came together with it', async t => {
  const { pool } = await startRawProvider(t, socket => {
    socket.write('HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab')
    setTimeout(() => {
      aheadMs = 3_000
      setTimeout(() => socket.write('cd'), 50)
    }, 300)
  })
  // Beyond the patience for a head, within that for a silence.
  let aheadMs = 0
  const clock = setInterval(() => pool.check(performance.now() + aheadMs), 10)
  t.after(() => clearInterval(clock))
  const result = await callProvider(pool, { headersTimeoutMs: 2_000, idleTimeoutMs: 8_000 })
  assert.deepEqual([result.error, result.body], [undefined, 'abcd'])
})

test('a silence that we asked for by pausing is no timeout', async t => {
  const { pool } = await startRawProvider(t, socket => {
    socket.write('HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab')
    setTimeout(() => socket.write('cd'), 20)
  })
  const clock = setInterval(() => pool.check(performance.now()), 10)
  t.after(() => clearInterval(clock))
  const result = await callProvider(pool, { idleTimeoutMs: 60 }, controller => {
    controller.pause()
    setTimeout(() => controller.resume(), 200)
  })
  assert.deepEqual([result.error, result.body], [undefined, 'abcd'])
})

test('an answer is read in pieces of 16 kB, and none while the call is paused', async t => {
  const length = 4 * 1024 * 1024
  const { pool } = await startRawProvider(t, socket => {
    socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${length}\r\n\r\n`)
    socket.write(Buffer.alloc(length, 'x'))
  })
  const { promise: ended, resolve } = Promise.withResolvers<void>()
  let taken = 0
  let isPaused = false
  const request = { method: 'POST', path: '/', headers: [], body: Buffer.from('{}'), headersTimeoutMs: 5_000 }
  pool.dispatch(
    { ...request, idleTimeoutMs: 5_000 },
    {
      onRequestStart() {},
      onResponseStart() {},
      onResponseData(controller, chunk) {
        assert.ok(!isPaused)
        assert.ok(chunk.length <= 16 * 1024)
        taken += chunk.length
        isPaused = true
        controller.pause()
        setTimeout(() => {
          isPaused = false
          controller.resume()
        }, 1)
      },
      onResponseEnd: resolve,
      onResponseError: (_, error) => assert.fail(error),
    },
  )
  await ended
  assert.equal(taken, length)
})

test('an aborted call closes its connection and is told why; a late order reaches no other call', async t => {
  const { pool, connections } = await startRawProvider(t, (socket, _, connection) => {
    if (connection > 1) socket.write(answer('ok'))
  })
  const aborted = await callProvider(pool, {}, controller =>
    setTimeout(() => controller.abort(new Error('enough')), 10),
  )
  assert.equal(aborted.error, 'enough')
  const next = await callProvider(pool)
  aborted.controller?.abort(new Error('late'))
  next.controller?.abort(new Error('late'))
  assert.deepEqual([(await callProvider(pool)).body, connections()], ['ok', 2])
})

test('an order at the very start keeps the request from leaving', async t => {
  const { pool } = await startRawProvider(t, () => assert.fail('nothing should arrive'))
  const result = await callProvider(pool, {}, controller => controller.abort(new Error('cut')))
  assert.equal(result.error, 'cut')
})

test('what would end a header, or the request line, is not sent', async t => {
  const { pool } = await startRawProvider(t, () => assert.fail('nothing should arrive'))
  for (const request of [
    { headers: ['x-a', 'b\r\nx-c: d'] },
    { headers: ['x-a', '\u0100'] },
    { path: '/a b' },
    { path: '/a\r\n' },
    { path: '/a\tb' },
    { headers: ['x a', 'b'] },
  ])
    assert.equal((await callProvider(pool, request)).error, 'BAD_REQUEST')
})

test('where nobody listens nothing has left', async t => {
  const { pool, server } = await startRawProvider(t, () => {})
  server.close()
  await once(server, 'close')
  const result = await callProvider(pool)
  assert.deepEqual([result.error, result.wasSent], ['ECONNREFUSED', false])
})

test('a large body is let go once it is out, while its answer is still to come', async t => {
  const body = Buffer.alloc(1_000_000, 'x')
  let received = 0
  let answerNow = (): void => {}
  const { pool } = await startRawProvider(t, (socket, text) => {
    received += text.length
    answerNow = () => socket.write(answer('late'))
  })
  let sent = 0
  const request = {
    method: 'POST',
    path: '/v1/x',
    headers: [],
    body,
    headersTimeoutMs: 5_000,
    idleTimeoutMs: 5_000,
    onSent: () => sent++,
  }
  const ended = new Promise<void>((resolve, reject) =>
    pool.dispatch(request, {
      onRequestStart: () => assert.equal(request.body, body),
      onResponseStart: () => {},
      onResponseData: () => {},
      onResponseEnd: resolve,
      onResponseError: (_, error) => reject(error),
    }),
  )
  while (received <= body.length || sent === 0) await new Promise(resolve => setTimeout(resolve, 5))
  assert.deepEqual([request.body.length, sent], [0, 1])
  answerNow()
  await ended
})

test('a handler that fails at the end of an answer is told so, and the connection serves the next', async t => {
  const { pool, connections } = await startRawProvider(t, socket => socket.write(answer('ok')))
  const cause = new Error('mine')
  const told = await new Promise<Error>(resolve =>
    pool.dispatch(
      {
        method: 'POST',
        path: '/',
        headers: [],
        body: Buffer.from('{}'),
        headersTimeoutMs: 5_000,
        idleTimeoutMs: 5_000,
      },
      {
        onRequestStart() {},
        onResponseStart() {},
        onResponseData() {},
        onResponseEnd() {
          throw cause
        },
        onResponseError: (_, error) => resolve(error),
      },
    ),
  )
  assert.deepEqual([(told as { code?: string }).code, told.cause], ['HANDLER_FAILED', cause])
  assert.deepEqual([(await callProvider(pool)).body, connections()], ['ok', 1])
})
