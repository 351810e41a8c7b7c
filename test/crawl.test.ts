import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventually, sampleOf } from '@sluice/test-env'
import { newProject } from './new-project.ts'
import { storyStack } from './story-stack.ts'

interface Operation {
  'x-sluice-access': string
  requestBody?: { content: Record<string, { schema: object }> }
}

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
  const stateOf = async () => JSON.stringify((await admin.call('GET', `${path}/budgets/${budget.id}`)).body)
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
  const ids: Record<string, string> = { id: budget.id, call_id: callId }
  let requests = 0
  for (const service of ['budget', 'billing', 'analytics']) {
    const document = await fetch(`${stack.url}/api/openapi/${service}.json`)
    const { paths } = (await document.json()) as { paths: Record<string, Record<string, Operation>> }
    const operations = Object.entries(paths).flatMap(([template, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ template, method, operation })),
    )
    assert.ok(operations.length >= 4, `${service}: ${operations.length}`)
    for (const { template, method, operation } of operations.filter(({ template }) => template.includes('{')))
      for (const [role, key] of Object.entries(credentials))
        for (const projectId of [theirs.projectId, own.projectId]) {
          requests++
          const url = template.replaceAll(/\{(\w+)\}/g, (_, name: string) =>
            name === 'pid' ? projectId : (ids[name] ?? 'none'),
          )
          const schema = operation.requestBody?.content['application/json']?.schema
          const answer = await fetch(`${stack.url}${url}`, {
            method: method.toUpperCase(),
            headers: {
              authorization: `Bearer ${key}`,
              ...(schema ? { 'content-type': 'application/json' } : {}),
            },
            ...(schema ? { body: JSON.stringify(sampleOf(schema, {})) } : {}),
          })
          const text = await answer.text()
          const where = `${role}: ${method} ${url}: ${answer.status} ${text.slice(0, 200)}`
          // 501: what nobody is offered, of any project.
          assert.ok((answer.status < 500 || answer.status === 501) && !text.includes(canary), where)
          if (projectId === theirs.projectId && template.includes('{pid}')) assert.equal(answer.status, 404, where)
          else if (/\{(?!pid)/.test(template)) assert.ok(answer.status >= 400, where)
        }
  }
  t.diagnostic(`${requests} requests`)
  assert.equal(await stateOf(), before)
})
