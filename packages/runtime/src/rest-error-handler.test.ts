import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pino } from 'pino'
import { ConfigError, ConfigReader, ownMachine, readServiceConfig } from './config-reader.ts'
import { createRestApp } from './rest-error-handler.ts'

async function addressSeen(trusted: readonly string[], remoteAddress: string, forwardedFor: string): Promise<string> {
  const app = createRestApp(pino({ level: 'silent' }), trusted)
  app.get('/ip', request => request.ip)
  const answer = await app.inject({ url: '/ip', remoteAddress, headers: { 'x-forwarded-for': forwardedFor } })
  await app.close()
  return answer.body
}

test('a client is where a trusted gateway says, and where its connection comes from if nobody trusted says so', async () => {
  const containers = ['172.16.0.0/12']
  assert.equal(await addressSeen(containers, '172.18.0.5', '203.0.113.9'), '203.0.113.9')
  assert.equal(await addressSeen(containers, '::ffff:172.18.0.5', '203.0.113.9'), '203.0.113.9')
  assert.equal(await addressSeen(containers, '172.18.0.5', '198.51.100.1, 203.0.113.9'), '203.0.113.9', 'made up')
  assert.equal(await addressSeen(containers, '203.0.113.7', '203.0.113.9'), '203.0.113.7')
  assert.equal(await addressSeen(containers, '127.0.0.1', '203.0.113.9'), '127.0.0.1')
  assert.equal(await addressSeen(ownMachine, '172.18.0.5', '203.0.113.9'), '172.18.0.5')
  assert.equal(await addressSeen(ownMachine, '127.0.0.1', '203.0.113.9'), '203.0.113.9')
})

test('a service believes its own machine, or those that its variable names, and a range that is none is a problem', () => {
  const trusted = (text?: string) => {
    const reader = new ConfigReader({ BUDGET_TRUSTED_PROXIES: text })
    const { trustedProxies } = readServiceConfig(reader, 'BUDGET', 8082)
    reader.check()
    return trustedProxies
  }
  assert.deepEqual(trusted(), ['127.0.0.0/8', '::1'])
  assert.deepEqual(trusted('172.16.0.0/12, fc00::/7'), ['172.16.0.0/12', 'fc00::/7'])
  assert.throws(() => trusted('gateway'), ConfigError)
})

test('what cannot be read or asked for is refused in our own words, and no answer is kept on the way', async t => {
  const app = createRestApp(pino({ level: 'silent' }), [])
  t.after(() => app.close())
  app.all('/things/:id', request => ({ id: (request.params as { id: string }).id }))
  const json = { 'content-type': 'application/json' }
  for (const [request, status, code] of [
    [{ url: '/things/1', payload: '{bad', headers: json }, 400, 'invalid_request'],
    [{ url: '/things/1', payload: '{"__proto__": {"a": 1}}', headers: json }, 400, 'invalid_request'],
    [{ url: '/things/1', payload: 'a=b', headers: { 'content-type': 'text/csv' } }, 415, 'unsupported_media_type'],
    [{ url: '/things/1', payload: `"${'x'.repeat(1_100_000)}"`, headers: json }, 413, 'body_too_large'],
    [{ url: '/things/%00' }, 404, 'not_found'],
    [{ url: '/things/1?filter=a%00' }, 400, 'invalid_request'],
    [{ url: '/things/1?filter=a&filter=%00' }, 400, 'invalid_request'],
    [{ url: '/things/%ff' }, 400, 'invalid_request'],
    [{ url: `/things/${'x'.repeat(4_000)}` }, 404, 'not_found'],
  ] as const) {
    const answer = await app.inject({ method: 'POST', ...request })
    const { error } = answer.json<{ error: { code: string; message: string; request_id: string } }>()
    assert.deepEqual([answer.statusCode, error.code], [status, code], request.url)
    assert.ok(error.request_id && !/fst_/i.test(error.message), request.url)
  }
  const { headers, body } = await app.inject({ url: '/things/a%20b' })
  assert.equal(body, '{"id":"a b"}')
  assert.deepEqual([headers['cache-control'], headers['x-content-type-options']], ['no-store', 'nosniff'])
})

test('a number that would be rounded is refused, and said which', async t => {
  const app = createRestApp(pino({ level: 'silent' }), [])
  t.after(() => app.close())
  app.post('/things', ({ body }) => body)
  const post = (payload: string) =>
    app.inject({ method: 'POST', url: '/things', payload, headers: { 'content-type': 'application/json' } })
  assert.equal((await post('{"size": 0.1, "name": "9007199254740993"}')).body, '{"size":0.1,"name":"9007199254740993"}')
  const refused = await post('{"size": [1, 9007199254740993]}')
  const { code, message } = refused.json().error
  assert.deepEqual([refused.statusCode, code], [400, 'invalid_request'])
  assert.match(message, /^The body holds a number with more digits than are read of one: 9007199254740993\./)
})

test('a member that a body must not have is named', async t => {
  const app = createRestApp(pino({ level: 'silent' }), [])
  t.after(() => app.close())
  const body = { type: 'object', properties: { name: { type: 'string' } }, additionalProperties: false }
  app.post('/things', { schema: { body } }, () => ({}))
  const answer = await app.inject({ method: 'POST', url: '/things', payload: { name: 'a', adress: 'b' } })
  assert.equal(answer.statusCode, 400)
  assert.equal(answer.json().error.message, 'body must not have "adress"')
})

test('the values that a member may have are named', async t => {
  const app = createRestApp(pino({ level: 'silent' }), [])
  t.after(() => app.close())
  const size = { anyOf: [{ type: 'string', enum: ['small', 'large'] }, { type: 'integer' }] }
  const body = { type: 'object', properties: { color: { type: 'string', enum: ['red', 'blue'] }, size } }
  app.post('/things', { schema: { body } }, () => ({}))
  const refusal = async (payload: object) =>
    (await app.inject({ method: 'POST', url: '/things', payload })).json().error.message
  assert.equal(await refusal({ color: 'green' }), 'body/color must be one of "red", "blue"')
  assert.match(
    await refusal({ size: 'huge' }),
    /^body\/size must be one of "small", "large", body\/size must be integer/,
  )
})

test('a content type without a body is fine where none is needed, and named where one is', async t => {
  const app = createRestApp(pino({ level: 'silent' }), [])
  t.after(() => app.close())
  app.delete('/things/:id', (_request, reply) => reply.code(204).send())
  app.post('/things', { schema: { body: { type: 'object', properties: {} } } }, () => ({}))
  const headers = { 'content-type': 'application/json' }
  assert.equal((await app.inject({ method: 'DELETE', url: '/things/a', headers })).statusCode, 204)
  const answer = await app.inject({ method: 'POST', url: '/things', headers })
  assert.deepEqual([answer.statusCode, answer.json().error.message], [400, 'body must be object'])
  assert.equal((await app.inject({ method: 'POST', url: '/things', headers, payload: '{' })).statusCode, 400)
})
