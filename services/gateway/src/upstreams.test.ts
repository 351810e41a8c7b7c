import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { createServer, getCACertificates, setDefaultCACertificates } from 'node:tls'
import { startRawProvider } from '../test/raw-provider.ts'
import type { Route } from './resolve-route.ts'
import { createUpstreams } from './upstreams.ts'

const pem = (name: string) => readFileSync(new URL(`../test/fixtures/tls/${name}.pem`, import.meta.url), 'utf8')

/** How a call ends at a provider whose certificate is of the authority `ca`. */
async function callEnd(t: TestContext, options: { ca?: string }, body: Buffer | Readable): Promise<string> {
  const server = createServer({ key: pem('provider-key'), cert: pem('by-address') })
  server.on('tlsClientError', () => {})
  await startRawProvider(t, socket => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'), { server })
  const upstreams = createUpstreams(options)
  t.after(() => upstreams.close())
  const route: Route = {
    servedBy: 'test',
    origin: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    basePath: '',
    credentialHeaders: [],
    access: 'managed',
    trustedAddress: true,
  } as unknown as Route
  return new Promise(resolve =>
    upstreams.dispatch(
      route,
      { method: 'POST', path: '/', headers: [], body, headersTimeoutMs: 5_000, idleTimeoutMs: 5_000 },
      {
        onRequestStart() {},
        onResponseStart() {},
        onResponseData() {},
        onResponseEnd: () => resolve('answered'),
        onResponseError: (_, error) => resolve((error as { code?: string }).code ?? error.message),
      },
    ),
  )
}

for (const [name, bodyOf] of [
  ['in memory', () => Buffer.from('{}')],
  ['read from somewhere', () => Readable.from([Buffer.from('{}')])],
] as const) {
  test(`an authority of the operator is trusted beside those of Node, not in their place: a body ${name}`, async t => {
    const before = getCACertificates('default')
    t.after(() => setDefaultCACertificates(before))
    setDefaultCACertificates([pem('ca')])
    assert.equal(await callEnd(t, {}, bodyOf()), 'answered')
    assert.equal(await callEnd(t, { ca: pem('self-signed') }, bodyOf()), 'answered')
    setDefaultCACertificates([pem('self-signed')])
    assert.equal(await callEnd(t, { ca: pem('ca') }, bodyOf()), 'answered')
    assert.equal(await callEnd(t, {}, bodyOf()), 'UNABLE_TO_VERIFY_LEAF_SIGNATURE')
  })
}
