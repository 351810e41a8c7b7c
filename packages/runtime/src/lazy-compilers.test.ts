import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Type } from '@sluice/contracts'
import { createLogger } from './logger.ts'
import { createRestApp } from './rest-error-handler.ts'

const Name = Type.Object({ name: Type.String({ minLength: 1 }) }, { additionalProperties: false })

function buildApp() {
  const app = createRestApp(createLogger('test', 'silent'), [])
  app.post('/names', { schema: { body: Name, response: { 200: Name } } }, request => ({
    ...(request.body as object),
    secret: 'not declared',
  }))
  app.get(
    '/pages',
    { schema: { querystring: Type.Object({ limit: Type.Integer({ maximum: 10 }) }) } },
    request => request.query,
  )
  return app
}

test('each route refuses what its own schema does not allow, again and again, and says what it is', async t => {
  const app = buildApp()
  t.after(() => app.close())
  const post = (payload: object) => app.inject({ method: 'POST', url: '/names', payload })
  for (const [payload, message] of [
    [{}, /body must have required property 'name'/],
    [{ name: '' }, /body\/name must NOT have fewer than 1 characters/],
    [{ name: 'a', other: 1 }, /body must not have "other"/],
    [{}, /body must have required property 'name'/],
  ] as const) {
    const answer = await post(payload)
    assert.equal(answer.statusCode, 400)
    assert.match(answer.json().error.message, message)
  }
  const page = await app.inject({ url: '/pages?limit=11' })
  assert.match(page.json().error.message, /querystring\/limit must be <= 10/)
  assert.deepEqual((await app.inject({ url: '/pages?limit=7' })).json(), { limit: 7 }, 'numbers are read from the text')
})

test('an answer says what its schema declares and nothing else', async t => {
  const app = buildApp()
  t.after(() => app.close())
  for (const name of ['first', 'second'])
    assert.equal(
      (await app.inject({ method: 'POST', url: '/names', payload: { name } })).body,
      JSON.stringify({ name }),
    )
})
