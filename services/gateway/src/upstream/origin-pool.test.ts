import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { OriginPool } from './origin-pool.ts'
import type { UpstreamController, UpstreamRequest } from './upstream-handler.ts'

const answer = (body: string, more = '') => `HTTP/1.1 200 OK\r\n${more}content-length: ${body.length}\r\n\r\n${body}`

/** A provider that does as `onData` says with what it receives; `connections` counts. */
async function startProvider(t: TestContext, onData: (socket: Socket, text: string, connection: number) => void) {
  let connections = 0
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    const connection = ++connections
    sockets.add(socket)
    socket.on('data', data => onData(socket, data.toString('latin1'), connection))
    socket.on('error', () => {})
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const pool = new OriginPool(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, {})
  t.after(() => {
    pool.close(new Error('test is over'))
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { pool, connections: () => connections, server }
}

interface Result {
  status: number
  body: string
  error: string | undefined
  /** Something had left. */
  wasSent: boolean
  controller: UpstreamController | undefined
}

/** Sends a call and gives back how it ended. */
function call(
  pool: OriginPool,
  request: Partial<UpstreamRequest> = {},
  onStart: (controller: UpstreamController) => void = () => {},
): Promise<Result> {
  return new Promise(resolve => {
    const result: Result = { status: 0, body: '', error: undefined, wasSent: false, controller: undefined }
    pool.dispatch(
      {
        method: 'POST',
        path: '/v1/x?a=1',
        headers: ['x-a', 'b'],
        body: Buffer.from('{}'),
        headersTimeoutMs: 5_000,
        idleTimeoutMs: 5_000,
        ...request,
      },
      {
        onRequestStart(controller) {
          result.wasSent = true
          result.controller = controller
          onStart(controller)
        },
        onResponseStart(_, status) {
          result.status = status
        },
        onResponseData(_, chunk) {
          result.body += chunk.toString('latin1')
        },
        onResponseEnd: () => resolve(result),
        onResponseError(controller, error) {
          assert.equal(controller !== undefined, result.wasSent)
          result.error = (error as { code?: string }).code ?? error.message
          resolve(result)
        },
      },
    )
  })
}

test('a request goes out as it was given, and its connection serves the next', async t => {
  const seen: string[] = []
  const { pool, connections } = await startProvider(t, (socket, text) => {
    seen.push(text)
    socket.write(answer('ok'))
  })
  for (let i = 0; i < 3; i++) assert.deepEqual([(await call(pool)).status, connections()], [200, 1])
  const host = pool.host
  assert.equal(
    seen[0],
    `POST /v1/x?a=1 HTTP/1.1\r\nhost: ${host}\r\nconnection: keep-alive\r\nx-a: b\r\ncontent-length: 2\r\n\r\n{}`,
  )
})

test('a large body arrives byte for byte', async t => {
  const body = Buffer.from(Array.from({ length: 300_000 }, (_, i) => i & 0xff))
  let received = ''
  const { pool } = await startProvider(t, (socket, text) => {
    received += text
    if (received.length - received.indexOf('\r\n\r\n') - 4 === body.length) socket.write(answer('ok'))
  })
  assert.equal((await call(pool, { body })).status, 200)
  assert.ok(Buffer.from(received, 'latin1').subarray(-body.length).equals(body))
})

test('calls at once have a connection each', async t => {
  const { pool, connections } = await startProvider(t, socket => setTimeout(() => socket.write(answer('ok')), 20))
  const results = await Promise.all(Array.from({ length: 5 }, () => call(pool)))
  assert.ok(results.every(({ body }) => body === 'ok'))
  assert.equal(connections(), 5)
})

test('a connection that the provider closes, or is about to close, is not used again', async t => {
  const closing = ['connection: close\r\n', 'keep-alive: timeout=1\r\n']
  const { pool, connections } = await startProvider(t, (socket, _, connection) =>
    socket.write(answer('ok', closing[connection - 1])),
  )
  for (let i = 1; i <= 3; i++) assert.deepEqual([(await call(pool)).body, connections()], ['ok', i])
  await call(pool)
  assert.equal(connections(), 3)
})

test('an answer that breaks off is an error, and nothing of it reaches the next call', async t => {
  const { pool } = await startProvider(t, (socket, _, connection) => {
    if (connection === 1) socket.end('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf')
    else socket.write(answer('whole'))
  })
  const broken = await call(pool)
  assert.deepEqual([broken.error, broken.body], ['OTHER_SIDE_CLOSED', 'half'])
  assert.equal((await call(pool)).body, 'whole')
})

test('an early answer to a body that is still going out does not leave its rest on a connection', async t => {
  const { pool, connections } = await startProvider(t, (socket, text, connection) => {
    if (connection > 1) socket.write(answer('second'))
    else if (text.startsWith('POST')) {
      socket.pause()
      socket.write(answer('early'))
    }
  })
  assert.equal((await call(pool, { body: Buffer.alloc(32 * 1024 * 1024) })).body, 'early')
  assert.equal((await call(pool)).body, 'second')
  assert.equal(connections(), 2)
})

test('silence ends in a timeout of its own: before the answer, and in the middle of it', async t => {
  const { pool } = await startProvider(t, (socket, _, connection) => {
    if (connection === 2) socket.write('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf')
  })
  const clock = setInterval(() => pool.check(performance.now()), 10)
  t.after(() => clearInterval(clock))
  assert.equal((await call(pool, { headersTimeoutMs: 50 })).error, 'HEADERS_TIMEOUT')
  assert.equal((await call(pool, { idleTimeoutMs: 50 })).error, 'IDLE_TIMEOUT')
})

test('the patience for an answer ends with its head, whatever came together with it', async t => {
  const { pool } = await startProvider(t, socket => {
    socket.write('HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab')
    setTimeout(() => socket.write('cd'), 200)
  })
  const clock = setInterval(() => pool.check(performance.now()), 10)
  t.after(() => clearInterval(clock))
  const result = await call(pool, { headersTimeoutMs: 50, idleTimeoutMs: 5_000 })
  assert.deepEqual([result.error, result.body], [undefined, 'abcd'])
})

test('a silence that we asked for by pausing is no timeout', async t => {
  const { pool } = await startProvider(t, socket => {
    socket.write('HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab')
    setTimeout(() => socket.write('cd'), 20)
  })
  const clock = setInterval(() => pool.check(performance.now()), 10)
  t.after(() => clearInterval(clock))
  const result = await call(pool, { idleTimeoutMs: 60 }, controller => {
    controller.pause()
    setTimeout(() => controller.resume(), 200)
  })
  assert.deepEqual([result.error, result.body], [undefined, 'abcd'])
})

test('an answer is read in pieces of 16 kB, and none while the call is paused', async t => {
  const length = 4 * 1024 * 1024
  const { pool } = await startProvider(t, socket => {
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
  const { pool, connections } = await startProvider(t, (socket, _, connection) => {
    if (connection > 1) socket.write(answer('ok'))
  })
  const aborted = await call(pool, {}, controller => setTimeout(() => controller.abort(new Error('enough')), 10))
  assert.equal(aborted.error, 'enough')
  const next = await call(pool)
  aborted.controller?.abort(new Error('late'))
  next.controller?.abort(new Error('late'))
  assert.deepEqual([(await call(pool)).body, connections()], ['ok', 2])
})

test('an order at the very start keeps the request from leaving', async t => {
  const { pool } = await startProvider(t, () => assert.fail('nothing should arrive'))
  const result = await call(pool, {}, controller => controller.abort(new Error('cut')))
  assert.equal(result.error, 'cut')
})

test('what would end a header, or the request line, is not sent', async t => {
  const { pool } = await startProvider(t, () => assert.fail('nothing should arrive'))
  for (const request of [
    { headers: ['x-a', 'b\r\nx-c: d'] },
    { headers: ['x-a', '\u0100'] },
    { path: '/a b' },
    { path: '/a\r\n' },
    { path: '/a\tb' },
    { headers: ['x a', 'b'] },
  ])
    assert.equal((await call(pool, request)).error, 'BAD_REQUEST')
})

test('where nobody listens nothing has left', async t => {
  const { pool, server } = await startProvider(t, () => {})
  server.close()
  await once(server, 'close')
  const result = await call(pool)
  assert.deepEqual([result.error, result.wasSent], ['ECONNREFUSED', false])
})

test('a large body is let go once it is out, while its answer is still to come', async t => {
  const body = Buffer.alloc(1_000_000, 'x')
  let received = 0
  let answerNow = (): void => {}
  const { pool } = await startProvider(t, (socket, text) => {
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
  const { pool, connections } = await startProvider(t, socket => socket.write(answer('ok')))
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
  assert.deepEqual([(await call(pool)).body, connections()], ['ok', 1])
})
