import assert from 'node:assert/strict'
import dns from 'node:dns'
import { once } from 'node:events'
import { syncBuiltinESMExports } from 'node:module'
import { type AddressInfo, createServer } from 'node:net'
import { Readable } from 'node:stream'
import { type TestContext, test } from 'node:test'
import type { Project } from '@sluice/contracts'
import { createSecretBox } from '@sluice/runtime'
import { leadsHome, privateHosts } from '@sluice/test-env'
import { Refusal } from './refusal.ts'
import { RouteResolver } from './resolve-route.ts'
import { createUpstreams, type Upstreams } from './upstreams.ts'

/** Hears whoever connects to this machine, by any of its addresses. */
async function startCanary(t: TestContext) {
  let heard = 0
  const server = createServer(socket => {
    heard++
    socket.on('error', () => {})
    socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok'))
  })
  server.listen(0, '::')
  await once(server, 'listening')
  t.after(() => server.close())
  return { port: (server.address() as AddressInfo).port, heard: () => heard }
}

/** Lets names lead where a test says; the last address stays. */
function answerNames(t: TestContext, answersOf: (name: string) => readonly string[]): void {
  type Callback = (error: null, addresses: { address: string; family: number }[]) => void
  const lookup = (name: string, _: unknown, callback: Callback): void => {
    const addresses = answersOf(name).map(address => ({ address, family: address.includes(':') ? 6 : 4 }))
    callback(null, addresses)
  }
  const mocked = t.mock.method(dns, 'lookup', lookup as unknown as typeof dns.lookup)
  syncBuiltinESMExports()
  t.after(() => {
    mocked.mock.restore()
    syncBuiltinESMExports()
  })
}

const secretBox = createSecretBox(Buffer.alloc(32, 1).toString('base64'))
const managedUpstream = { baseUrl: 'http://127.0.0.1:1', apiKey: 'x', servedBy: 'x' }

type Whose = 'project' | 'operator'

/** How a call to an integration's address ends, by one of the ways to a provider. */
async function callEnd(
  upstreams: Upstreams,
  baseUrl: string,
  allowPrivateUpstreams: boolean,
  bodyOf: () => Buffer | Readable,
  whose: Whose = 'project',
): Promise<string> {
  const resolver = new RouteResolver({
    managed: { openai: managedUpstream, anthropic: managedUpstream },
    findManaged: () => ({ integration_id: 'int_1', dialect: 'openai', version: 1, base_url: baseUrl }),
    secretBox,
    allowPrivateUpstreams,
    readCredential: () => undefined,
  })
  const integrations = whose === 'project' ? [{ integration_id: 'int_1', dialect: 'openai', base_url: baseUrl }] : []
  try {
    const route = resolver.resolve({ name: 'test', integrations } as unknown as Project, 'openai', 'unassigned')
    return await new Promise(resolve =>
      upstreams.dispatch(
        route,
        { method: 'POST', path: '/', headers: [], body: bodyOf(), headersTimeoutMs: 2_000, idleTimeoutMs: 2_000 },
        {
          onRequestStart() {},
          onResponseStart() {},
          onResponseData() {},
          onResponseEnd: () => resolve('answered'),
          onResponseError: (_, error) => resolve((error as { code?: string }).code ?? error.message),
        },
      ),
    )
  } catch (error) {
    if (error instanceof Refusal) return error.reason
    throw error
  }
}

const ways = [
  ['in memory', () => Buffer.from('{}')],
  ['read from somewhere', () => Readable.from([Buffer.from('{}')])],
] as const
const settings = [
  ['project', 0],
  ['project', 1],
  ['operator', 0],
] as const

for (const [whose, at] of settings) {
  const [way, bodyOf] = ways[at]
  test(`nothing reaches a private address in any spelling, though settings of the ${whose} name it: a body ${way}`, async t => {
    const canary = await startCanary(t)
    const upstreams = createUpstreams()
    t.after(() => upstreams.close())
    answerNames(t, () => ['127.0.0.1'])
    for (const host of privateHosts) {
      const end = await callEnd(upstreams, `http://${host}:${canary.port}/v1`, false, bodyOf, whose)
      assert.ok(['provider_unreachable', 'EPRIVATEADDRESS'].includes(end), `${host}: ${end}`)
    }
    assert.equal(canary.heard(), 0)
    // Where the operator allows them the same spellings do lead to this machine.
    const home = privateHosts.filter(leadsHome)
    for (const host of home)
      assert.equal(await callEnd(upstreams, `http://${host}:${canary.port}/v1`, true, bodyOf, whose), 'answered', host)
    assert.equal(canary.heard(), home.length)
    assert.ok(home.length >= 40, `${home.length} spellings`)
  })
}

test('a name of which one address is private is not connected to, and one that turns private is checked anew', async t => {
  const canary = await startCanary(t)
  const upstreams = createUpstreams()
  t.after(() => upstreams.close())
  const [, bodyOf] = ways[0]
  let answers: readonly string[] = ['93.184.216.34', '127.0.0.1']
  let asked = 0
  answerNames(t, () => {
    asked++
    return answers
  })
  const baseUrl = `http://provider.example.com:${canary.port}/v1`
  for (const next of [['93.184.216.34', '::1'], ['::ffff:127.0.0.1'], ['fd00:ec2::254', '93.184.216.34'], []]) {
    assert.equal(await callEnd(upstreams, baseUrl, false, bodyOf), 'EPRIVATEADDRESS', answers.join())
    answers = next
  }
  assert.equal(asked, 4, 'each connection asks, and asks once: what was checked is what is connected to')
  assert.equal(canary.heard(), 0)
})
