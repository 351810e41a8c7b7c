import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Validator } from '@seriousme/openapi-schema-validator'
import { crawlRoutes, eventually, operationsOf, sized } from '@sluice/test-env'
import { type DescribedOperation, fieldsOf, unexplained } from './described-fields.ts'
import { newProject } from './new-project.ts'
import { storyStack } from './story-stack.ts'

/** A page that says how to ask, and reads nothing to say it. */
const isForAnybody = (method: string, path: string) => method.toUpperCase() === 'GET' && path === '/ask/{budget_id}'

/** Stands in one project alone: whoever reads it has read that project. */
const canary = 'canary-of-the-other-project'

test('a crawl over every route of budgets, billing and usage with another project’s keys reads and changes nothing', async t => {
  const { stack, admin } = await storyStack()
  const theirs = await newProject(stack, admin, {})
  const path = `/accounts/projects/${theirs.projectId}`
  const { body: budget } = await admin.call<{ id: string }>('POST', `${path}/budgets`, {
    name: canary,
    unit: 'usd',
    window: 'day',
    limit: '5',
  })
  const call = await fetch(`${stack.url}/v1/chat/completions`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${theirs.apiKey}`,
      'content-type': 'application/json',
      'sluice-tag-canary': canary,
    },
    body: JSON.stringify({ model: 'gpt-5.4-mini', max_tokens: 1, messages: [{ role: 'user', content: 'x' }] }),
  })
  assert.equal(call.status, 200, await call.text())
  const callId = call.headers.get('sluice-call-id') ?? ''
  await eventually(async () => (await admin.call('GET', `/api/calls/${callId}`)).status === 200)
  const stateOf = async () => {
    const { body } = await admin.call<Record<string, unknown>>('GET', `${path}/budgets/${budget.id}`)
    // When the money runs out is told anew each time.
    return JSON.stringify({ ...body, forecast: undefined })
  }
  const before = await stateOf()
  assert.ok(before.includes(canary))

  const own = await newProject(stack, admin, {})
  const credentials: Record<string, string> = {}
  for (const role of ['member', 'developer', 'admin']) {
    const { body } = await admin.call<{ value: string }>('POST', `/accounts/projects/${own.projectId}/api-keys`, {
      name: role,
      role,
    })
    credentials[role] = body.value
  }
  await eventually(async () => {
    const answers = await Promise.all(
      Object.values(credentials).map(key =>
        fetch(`${stack.url}/accounts/projects/${own.projectId}/llm-proxy/usage`, {
          headers: { authorization: `Bearer ${key}` },
        }),
      ),
    )
    return answers.every(answer => answer.status === 200)
  })
  const [page, pageOfNone] = await Promise.all(
    [budget.id, 'bud_of_nobody'].map(async id => (await fetch(`${stack.url}/ask/${id}`)).text()),
  )
  assert.equal(page, pageOfNone, 'how to ask does not tell whether there is such a budget')
  let requests = 0
  for (const service of ['budget', 'billing', 'analytics']) {
    const operations = operationsOf(await (await fetch(`${stack.url}/api/openapi/${service}.json`)).json())
    assert.ok(operations.length >= 4, `${service}: ${operations.length}`)
    const { admin: highest = '' } = credentials
    for (const [projectId, asked] of [
      [theirs.projectId, credentials],
      // What is not of their project there is for nobody of it: whoever may most finds it first.
      [own.projectId, sized({ small: { admin: highest }, full: credentials })],
    ] as const) {
      const found = await crawlRoutes({
        operations: operations.filter(({ method, path }) => path.includes('{') && !isForAnybody(method, path)),
        credentials: asked,
        call: async (method, url, key, sent) => {
          const answer = await fetch(`${stack.url}${url}`, {
            method,
            headers: {
              authorization: `Bearer ${key}`,
              ...(sent === undefined ? {} : { 'content-type': 'application/json' }),
            },
            ...(sent === undefined ? {} : { body: JSON.stringify(sent) }),
          })
          return { status: answer.status, body: await answer.text() }
        },
        places: { pid: projectId, id: budget.id, call_id: callId },
        canary,
        mayAnswer: ({ path }) => projectId === own.projectId && !/\{(?!pid|subject)/.test(path),
      })
      requests += found.requests
      assert.deepEqual(found.leaks, [])
    }
  }
  t.diagnostic(`${requests} requests`)
  assert.equal(await stateOf(), before)
})

test('each service serves an OpenAPI document that is valid, names each operation, says the units of amounts and times, and shows a body of each creation', async t => {
  const { stack } = await storyStack()
  // One for all of them: what it makes of OpenAPI's own schema costs more than to look through a document.
  const validator = new Validator()
  let fields = 0
  for (const path of [
    '/accounts/openapi.json',
    ...['budget', 'billing', 'analytics'].map(n => `/api/openapi/${n}.json`),
  ]) {
    const answer = await fetch(`${stack.url}${path}`)
    const document = (await answer.json()) as Parameters<typeof operationsOf>[0] & {
      paths: Record<string, Record<string, DescribedOperation>>
    }
    const { valid, errors } = await validator.validate(structuredClone(document))
    assert.ok(valid, `${path}: ${JSON.stringify(errors)}`)
    const operations = Object.values(document.paths).flatMap(methods => Object.values(methods))
    assert.deepEqual(operations.flatMap(unexplained), [], path)
    fields += operations.flatMap(fieldsOf).length
    const ids = operations.map(({ operationId }) => operationId)
    assert.equal(new Set(ids).size, ids.length, path)
    for (const { operationId, parameters = [] } of operations) {
      const names = parameters.map(({ name, in: place }) => `${place} ${name}`)
      assert.equal(new Set(names).size, names.length, operationId)
    }
  }
  t.diagnostic(`${fields} fields`)
})
