import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import {
  type AddressInfo,
  createServer as createTcpServer,
  type LookupFunction,
  type Server,
  type Socket,
} from 'node:net'
import { type TestContext, test } from 'node:test'
import { createSecureContext, createServer, type TLSSocket } from 'node:tls'
import { Worker } from 'node:worker_threads'
import { type CallResult, callProvider, startRawProvider } from '../../test/raw-provider.ts'
import type { TlsProviderThread } from '../../test/tls-provider-thread.ts'
import { describeFailure } from '../provider-failure.ts'
import { OriginPool } from './origin-pool.ts'

const pem = (name: string) => readFileSync(new URL(`../../test/fixtures/tls/${name}.pem`, import.meta.url), 'utf8')
const key = pem('provider-key')
const secureContext = createSecureContext({ ca: pem('ca') })
const answer = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'
/** Every name is on this machine. */
const lookup: LookupFunction = (_, options, callback) => {
  if (options.all) callback(null, [{ address: '127.0.0.1', family: 4 }])
  else callback(null, '127.0.0.1', 4)
}

/** A provider behind TLS, and what has reached it inside. */
async function startTlsProvider(
  t: TestContext,
  certificate: string,
  origin = 'https://provider.test',
  onRequest: (socket: Socket) => void = () => {},
) {
  const names: (string | undefined)[] = []
  const seen: string[] = []
  const context = createSecureContext({ key, cert: pem(certificate) })
  const server: Server = createServer({
    key,
    cert: pem(certificate),
    ALPNProtocols: ['h2', 'http/1.1'],
    SNICallback(name, done) {
      names.push(name)
      done(null, context)
    },
  })
  server.on('tlsClientError', () => {})
  const provider = await startRawProvider(
    t,
    (socket, text) => {
      seen.push(`${(socket as TLSSocket).alpnProtocol} ${text.split('\r\n', 1)[0]}`)
      socket.write(answer)
      onRequest(socket)
    },
    { server, origin, secureContext, lookup },
  )
  return { ...provider, names, seen }
}

test('a certificate that holds: the name is told and checked, and the connection serves the next', async t => {
  const { pool, names, seen, connections } = await startTlsProvider(t, 'trusted')
  for (let i = 0; i < 3; i++) assert.equal((await callProvider(pool)).body, 'ok')
  assert.deepEqual([names, connections()], [['provider.test'], 1])
  assert.deepEqual(seen, Array(3).fill('http/1.1 POST /v1/x?a=1 HTTP/1.1'))
})

test('a connection whose answer is here before Node tells that its request is out serves the next', async t => {
  const counts = new Int32Array(new SharedArrayBuffer(8))
  const workerData: TlsProviderThread = { key, cert: pem('trusted'), answer, counts }
  const thread = new Worker(new URL('../../test/tls-provider-thread.ts', import.meta.url), { workerData })
  const [{ port }] = (await once(thread, 'message')) as [AddressInfo]
  const pool = new OriginPool(`https://provider.test:${port}`, { secureContext, lookup })
  t.after(async () => {
    pool.close(new Error('test is over'))
    await thread.terminate()
  })
  assert.equal((await callProvider(pool)).body, 'ok')
  const early = await new Promise<CallResult>(resolve => {
    setImmediate(() => {
      resolve(callProvider(pool))
      for (let answers = 0; answers < 2; answers = Atomics.load(counts, 1))
        assert.notEqual(Atomics.wait(counts, 1, answers, 5_000), 'timed-out')
    })
  })
  assert.equal(early.body, 'ok')
  await new Promise(setImmediate)
  assert.equal((await callProvider(pool)).body, 'ok')
  assert.equal(counts[0], 1, 'connections')
})

test('an early answer to a body that is still going out does not leave its rest on a connection', {
  timeout: 20_000,
}, async t => {
  const { pool, seen } = await startTlsProvider(t, 'trusted', undefined, socket => socket.pause())
  assert.equal((await callProvider(pool, { body: Buffer.alloc(32 * 1024 * 1024, 'x') })).body, 'ok')
  // The connection is looked at once more.
  await new Promise(setImmediate)
  assert.equal((await callProvider(pool)).body, 'ok')
  assert.deepEqual(seen, Array(2).fill('http/1.1 POST /v1/x?a=1 HTTP/1.1'))
})

test('a provider that is named by its address is checked by that address', async t => {
  const right = await startTlsProvider(t, 'by-address', 'https://127.0.0.1')
  assert.equal((await callProvider(right.pool)).body, 'ok')
  assert.deepEqual(right.names, [], 'an address is no server name')
  const wrong = await startTlsProvider(t, 'trusted', 'https://127.0.0.1')
  assert.equal((await callProvider(wrong.pool)).error, 'ERR_TLS_CERT_ALTNAME_INVALID')
})

for (const [certificate, code] of [
  ['self-signed', 'DEPTH_ZERO_SELF_SIGNED_CERT'],
  ['expired', 'CERT_HAS_EXPIRED'],
  ['other-name', 'ERR_TLS_CERT_ALTNAME_INVALID'],
] as const) {
  test(`a certificate that does not hold gets no byte of a call: ${certificate}`, async t => {
    const { pool, seen } = await startTlsProvider(t, certificate)
    for (let i = 0; i < 2; i++) {
      const result = await callProvider(pool, { headers: ['authorization', 'Bearer secret'] })
      assert.deepEqual([result.error, result.wasSent], [code, false])
    }
    assert.deepEqual(seen, [])
  })
}

test('what is no TLS is an error before anything has left', async t => {
  const { pool } = await startRawProvider(t, socket => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'), {
    origin: 'https://provider.test',
    secureContext,
    lookup,
  })
  const result = await callProvider(pool)
  assert.match(result.error ?? '', /^ERR_SSL_/)
  assert.equal(result.wasSent, false)
})

test('a connection that does not come about in 5 s is given up, and nothing has left', async t => {
  const silent = createTcpServer(socket => socket.resume())
  const handshake = await startRawProvider(t, () => {}, {
    server: silent,
    origin: 'https://provider.test',
    secureContext,
    lookup,
  })
  const nameless = await startRawProvider(t, () => assert.fail('nothing should arrive'), {
    origin: 'http://provider.test',
    lookup() {},
  })
  const asked = once(silent, 'connection')
  const calls = [callProvider(handshake.pool), callProvider(nameless.pool)]
  await asked
  const { nowMs } = handshake.pool
  for (const { pool } of [handshake, nameless]) pool.check(nowMs + 4_900)
  assert.equal(await Promise.race([...calls, 'waiting']), 'waiting')
  for (const { pool } of [handshake, nameless]) pool.check(nowMs + 5_100)
  for (const result of await Promise.all(calls))
    assert.deepEqual([result.error, result.wasSent], ['CONNECT_TIMEOUT', false])
})

test('a caller is told that the certificate is what is wrong', () => {
  const told = describeFailure(Object.assign(new Error('x'), { code: 'CERT_HAS_EXPIRED' }), 'openai')
  assert.equal(told.reason, 'provider_unreachable')
  assert.equal(told.code, 'provider_certificate')
  assert.match(told.message, /certificate of openai .*CERT_HAS_EXPIRED/)
})
