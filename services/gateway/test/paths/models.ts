import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { GatewayStack, TestProject } from '../gateway-stack.ts'

/** The list of models is what this credential may call, whoever serves it, in the shape that its client reads. */
export function modelsAreListed(gateway: GatewayStack, project: TestProject): void {
  const get = async (path: string, apiKey = project.apiKey) => {
    const answer = await fetch(`${gateway.url}${path}`, { headers: { authorization: `Bearer ${apiKey}` } })
    // biome-ignore lint/suspicious/noExplicitAny: two dialects
    return { status: answer.status, body: (await answer.json()) as any }
  }

  suite('models', { concurrency: 2 }, () => {
    test('both dialects list the models of every provider of the project, their own first', async () => {
      for (const mount of ['/openai/v1', '/v1', '/rooms/lobby/v1']) {
        const { body } = await get(`${mount}/models`)
        assert.equal(body.object, 'list')
        const ids = body.data.map((model: { id: string }) => model.id)
        assert.ok(ids.indexOf('gpt-5.4-mini') >= 0 && ids.indexOf('gpt-5.4-mini') < ids.indexOf('claude-sonnet-4-6'))
        assert.deepEqual(Object.keys(body.data[0]), ['id', 'object', 'created', 'owned_by'])
      }
      for (const mount of ['/anthropic/v1', '/rooms/lobby/anthropic/v1']) {
        const { body } = await get(`${mount}/models?limit=1000`)
        const ids = body.data.map((model: { id: string }) => model.id)
        assert.ok(
          ids.indexOf('claude-sonnet-4-6') >= 0 && ids.indexOf('claude-sonnet-4-6') < ids.indexOf('gpt-5.4-mini'),
        )
        assert.deepEqual([body.has_more, body.first_id, body.last_id], [false, ids[0], ids.at(-1)])
        assert.deepEqual(Object.keys(body.data[0]), ['type', 'id', 'display_name', 'created_at'])
      }
    })

    test('the official clients read list and model', async () => {
      const openai = gateway.openai(project.apiKey)
      const listed = []
      for await (const model of openai.models.list()) listed.push(model.id)
      assert.ok(listed.includes('gpt-5.4-mini'))
      assert.equal((await openai.models.retrieve('gpt-5.4-mini')).owned_by, 'simulator')
      const anthropic = gateway.anthropic(project.apiKey)
      const claudes = []
      for await (const model of anthropic.models.list()) claudes.push(model.id)
      assert.ok(claudes.includes('claude-sonnet-4-6'))
      assert.equal((await anthropic.models.retrieve('claude-sonnet-4-6')).id, 'claude-sonnet-4-6')
    })

    test('a model that is not allowed is in no list, and looks like one that nobody knows', async () => {
      const { apiKey } = await gateway.newProject({ allowedModels: [{ provider: 'anthropic', model: '*' }] })
      const { body } = await get('/v1/models', apiKey)
      assert.ok(body.data.length > 0)
      assert.ok(body.data.every((model: { id: string }) => model.id.startsWith('claude')))
      for (const id of ['gpt-5.4-mini', 'nothing-at-all', '..%2Fsecrets'])
        for (const mount of ['/v1', '/anthropic/v1']) {
          const answer = await get(`${mount}/models/${id}`, apiKey)
          assert.equal(answer.status, 403, id)
          assert.equal(answer.body.error.metadata.reason, 'model_not_allowed')
        }
    })

    test('a call to a model of the other provider says where it is served', async () => {
      const answer = await gateway.post('/v1/chat/completions', project.apiKey, {
        model: 'claude-sonnet-4-6',
        messages: [{ role: 'user', content: 'x' }],
      })
      assert.equal(answer.status, 400)
      assert.match(await answer.text(), /is one of anthropic: call it at the paths below \/anthropic\/v1/)
    })
  })
}
