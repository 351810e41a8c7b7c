import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createRestApp, describeRoutes } from '@sluice/runtime'
import { closeInReverse } from '@sluice/test-env'
import { pino } from 'pino'
import { watchAnswers } from './answers-match-schemas.ts'
import { recordingLog, startAccounts } from './start-accounts.ts'

interface Operation {
  operationId: string
  summary: string
  'x-sluice-access': string
  security: unknown[]
  parameters?: { name: string; in: string; required: boolean; description?: string; schema: object }[]
  requestBody?: { content: { 'application/json': { schema: object } } }
  responses: Record<string, { description: string; content?: object }>
}

test('the routes describe themselves', async t => {
  const { app } = await startAccounts(closeInReverse(t))
  const answer = await app.inject({ url: '/accounts/openapi.json' })
  assert.equal(answer.statusCode, 200)
  const document = answer.json<{ openapi: string; paths: Record<string, Record<string, Operation>> }>()
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  )

  await t.test('every route is in the document, with what it does and who may use it', () => {
    const registered = app
      .printRoutes({ commonPrefix: false, includeHooks: false })
      .split('\n')
      .flatMap(line => /\(([A-Z, ]+)\)\s*$/.exec(line)?.[1]?.split(', ') ?? [])
      .filter(method => method !== 'HEAD')
    assert.equal(document.openapi, '3.1.0')
    assert.equal(operations.length, registered.length)
    const ids = operations.map(({ operation }) => operation.operationId)
    assert.deepEqual(new Set(ids).size, ids.length, 'two say the same')
    for (const { path, method, operation } of operations) {
      const where = `${method} ${path}`
      assert.ok(operation.summary && operation['x-sluice-access'], where)
      assert.equal(operation.security.length === 0, operation['x-sluice-access'] === 'public', where)
      assert.ok(operation.responses['200']?.content ?? operation.responses['204'], where)
      assert.ok(operation.responses['4XX']?.content && operation.responses['5XX']?.content, where)
      const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)
      const inPath = operation.parameters?.filter(parameter => parameter.in === 'path') ?? []
      assert.deepEqual(
        inPath.map(({ name }) => name),
        named,
        where,
      )
      assert.ok(!/[:(]/.test(path.replace(/:(?:test|revoke)$/, '')), where)
    }
  })

  await t.test('how many a page holds is said as that, not as the limit of a budget', () => {
    const limits = operations.flatMap(
      ({ operation }) => operation.parameters?.filter(({ name }) => name === 'limit') ?? [],
    )
    assert.ok(limits.length > 1)
    assert.deepEqual(new Set(limits.map(({ description }) => description)), new Set(['At most so many']))
  })

  await t.test('what a route takes is said: a body, pages, an Idempotency-Key', () => {
    const create = document.paths['/accounts/projects/{pid}/teams']?.post
    assert.ok(create?.requestBody)
    assert.ok(create.parameters?.some(({ name, in: where }) => name === 'Idempotency-Key' && where === 'header'))
    const list = document.paths['/accounts/projects/{pid}/teams']?.get
    assert.deepEqual(
      list?.parameters?.map(({ name, in: where, required }) => [name, where, required]),
      [
        ['pid', 'path', true],
        ['page_size', 'query', false],
        ['continuation_token', 'query', false],
        ['closed', 'query', false],
      ],
    )
    assert.equal(document.paths['/accounts/projects/{pid}/access:test']?.post?.['x-sluice-access'], 'project')
    for (const { path, method, operation } of operations) if (method === 'put') assert.ok(operation.requestBody, path)
  })

  await t.test('a route that does not say what it does is refused when it is registered', async () => {
    const silent = createRestApp(pino({ level: 'silent' }), [])
    describeRoutes(silent, { title: 'x', version: '1' })
    assert.throws(() => silent.get('/x', { config: { access: 'public' } }, () => ({})), /does not say what it does/)
    assert.throws(() => silent.get('/x', { schema: { summary: 'x' } }, () => ({})), /does not say who may use it/)
    const route = { config: { access: 'public' as const }, schema: { summary: 'Get it' } }
    silent.get('/x', route, () => ({}))
    assert.throws(() => silent.get('/y', route, () => ({})), /says that it does the same as GET \/x/)
  })

  await t.test('an answer that is not its schema’s is found', async () => {
    const lying = createRestApp(recordingLog().log, [])
    const problems = watchAnswers(lying)
    const response = { 200: { type: 'object', properties: { a: { type: 'integer' } } } }
    lying.get('/more', { config: { access: 'public' }, schema: { response } }, () => ({ a: 1, b: 2 }))
    lying.get('/other', { config: { access: 'public' }, schema: { response } }, () => ({ a: '1' }))
    lying.get('/right', { config: { access: 'public' }, schema: { response } }, () => ({ a: 1 }))
    for (const url of ['/more', '/other', '/right']) await lying.inject({ url })
    assert.deepEqual(
      problems.map(problem => problem.split(' ')[1]),
      ['/more', '/other'],
    )
  })
})
