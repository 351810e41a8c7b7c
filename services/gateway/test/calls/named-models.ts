import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { GatewayStack } from '../gateway-stack.ts'
import { openSocket } from '../sockets/socket-client.ts'

const model = 'gpt-5.4-mini'
const claude = 'claude-haiku-4-5'
const messages = [{ role: 'user', content: 'Hello [[sim output_tokens=3]]' }]
const input = 'Hello [[sim output_tokens=3]]'
/** Priced, but on no list; priced and listed; listed without a price. */
const image = { barred: 'gpt-image-1.5', listed: 'gpt-image-1-mini', unpriced: 'gpt-image-of-tomorrow' }
const advisor = { barred: 'claude-opus-4-8', listed: 'claude-sonnet-4-6', unpriced: 'claude-of-tomorrow' }

const allowedModels = [
  ...[model, image.listed, image.unpriced].map(each => ({ provider: 'openai', model: each })),
  ...[claude, advisor.listed, advisor.unpriced].map(each => ({ provider: 'anthropic', model: each })),
]

interface Place {
  name: string
  path: string
  models: typeof image
  body: (named: string) => object | FormData
  member: string
}

const openaiPlaces = (path: string, own: object): Place[] => [
  {
    name: `the image tool of ${path}`,
    path,
    models: image,
    body: named => ({ ...own, tools: [{ type: 'image_generation', model: named }] }),
    member: 'tools[0].model',
  },
  {
    name: `a tool of ${path} that nobody knows`,
    path,
    models: image,
    body: named => ({ ...own, tools: [{ type: 'web_search' }, { type: 'of_tomorrow', model: named }] }),
    member: 'tools[1].model',
  },
]

const places: Place[] = [
  ...openaiPlaces('/v1/responses', { model, input }),
  ...openaiPlaces('/v1/chat/completions', { model, messages }),
  {
    name: 'tools that an item of the input brings',
    path: '/v1/responses',
    models: image,
    body: named => ({
      model,
      input: [
        { type: 'additional_tools', role: 'developer', tools: [{ type: 'image_generation', model: named }] },
        { type: 'message', role: 'user', content: input },
      ],
    }),
    member: 'input[0].tools[0].model',
  },
  {
    name: 'the advisor of /anthropic/v1/messages',
    path: '/anthropic/v1/messages',
    models: advisor,
    body: named => ({
      model: claude,
      max_tokens: 9,
      messages,
      tools: [{ type: 'advisor_20260301', name: 'advisor', model: named }],
    }),
    member: 'tools[0].model',
  },
  {
    name: 'the fallbacks of /anthropic/v1/messages',
    path: '/anthropic/v1/messages',
    models: advisor,
    body: named => ({ model: claude, max_tokens: 9, messages, fallbacks: [{ model: named }] }),
    member: 'fallbacks[0].model',
  },
  {
    name: 'who writes the drawing of an image',
    path: '/v1/images/generations',
    models: image,
    body: named => ({ model: image.listed, prompt: 'A sea', svg: { model: named } }),
    member: 'svg.model',
  },
  {
    name: 'who writes the drawing of an edited image',
    path: '/v1/images/edits',
    models: image,
    body: named => {
      const form = new FormData()
      form.set('model', image.listed)
      form.set('prompt', 'A sea')
      form.set('svg[model]', named)
      form.set('image', new File([Buffer.alloc(64, 1)], 'a.png', { type: 'image/png' }))
      return form
    },
    member: 'svg[model]',
  },
]

interface Told {
  error: { code?: string; type?: string; message: string }
}

/** Whatever names a model, it is allowed and priced as the request's own is. */
export function namedModelsAreAllowed(gateway: GatewayStack): void {
  const newProject = () => gateway.newProject({ allowedModels, settings: { path_classes: { batches: true } } })
  const post = (path: string, apiKey: string, body: object | FormData | string): Promise<Response> =>
    body instanceof FormData || typeof body === 'string'
      ? fetch(`${gateway.url}${path}`, {
          method: 'POST',
          headers: {
            authorization: `Bearer ${apiKey}`,
            ...(typeof body === 'string' && { 'content-type': 'application/json' }),
          },
          body,
        })
      : gateway.post(path, apiKey, body)
  const assertRefused = async (answer: Response, status: number, ...words: string[]): Promise<void> => {
    const text = await answer.text()
    assert.equal(answer.status, status, text)
    const { error } = JSON.parse(text) as Told
    for (const word of words) assert.ok(error.message.includes(word), error.message)
  }

  suite('a model that a request names beside its own', { concurrency: 3 }, () => {
    for (const { name, path, models, body, member } of places)
      test(`must be allowed and have a price: ${name}`, async () => {
        const { apiKey, projectId } = await newProject()
        for (const stream of [false, true]) {
          const asked = (named: string) => {
            const made = body(named)
            return made instanceof FormData ? made : { ...made, stream }
          }
          const barred = await post(path, apiKey, asked(models.barred))
          await assertRefused(barred, 403, `/${models.barred}"`, `named in "${member}"`, 'is not allowed')
          const unpriced = await post(path, apiKey, asked(models.unpriced))
          await assertRefused(unpriced, 400, `"${models.unpriced}"`, `named in "${member}"`, 'no price')
        }
        assert.deepEqual(gateway.eventsOf(projectId), [])
        const allowed = await post(path, apiKey, body(models.listed))
        assert.equal(allowed.status, 200, await allowed.text())
      })

    test('fallbacks that the provider is to choose are for those who may use all of its models', async () => {
      const asked = { model: claude, max_tokens: 9, messages, fallbacks: 'default' }
      const { apiKey } = await newProject()
      const refused = await post('/anthropic/v1/messages', apiKey, asked)
      await assertRefused(refused, 403, '"fallbacks" leaves the model to anthropic')
      const free = await gateway.newProject()
      const allowed = await post('/anthropic/v1/messages', free.apiKey, asked)
      assert.equal(allowed.status, 200, await allowed.text())
    })

    test('is seen through escapes, refused where it is named twice, and found behind 400 kB of tools', async () => {
      const { apiKey, projectId } = await newProject()
      const own = `"model":"${model}","input":"x"`
      const escaped = `{${own},"tools":[{"type":"image_generation","mod\\u0065l":"${image.barred}"}]}`
      await assertRefused(await post('/v1/responses', apiKey, escaped), 403, image.barred)
      const twice = `{${own},"tools":[{"model":"${image.barred}","model":"${image.listed}"}]}`
      await assertRefused(await post('/v1/responses', apiKey, twice), 400, '"tools[0].model" twice')
      const many: object[] = Array.from({ length: 1_000 }, (_, index) => ({
        type: 'function',
        name: `tool_${index}`,
        description: 'Takes a "model". '.repeat(20),
        parameters: { type: 'object', properties: { model: { type: 'string' } } },
      }))
      const allowed = await post('/v1/responses', apiKey, { model, input, tools: many })
      assert.equal(allowed.status, 200, await allowed.text())
      many.push({ type: 'image_generation', model: image.barred })
      const large = JSON.stringify({ model, input, tools: many })
      assert.ok(large.length > 400_000)
      await assertRefused(await post('/v1/responses', apiKey, large), 403, image.barred, 'tools[1000].model')
      assert.equal(gateway.eventsOf(projectId).length <= 1, true)
    })

    test('is refused in a turn of a socket, whose other turns go on', async () => {
      const { apiKey } = await newProject()
      const client = await openSocket(gateway, '/v1/responses', apiKey)
      const tools = (named: string) => [{ type: 'image_generation', model: named }]
      const turns: [object, string, string][] = [
        [{ tools: tools(image.barred) }, 'model_not_allowed', '"tools[0].model"'],
        [{ tools: tools(image.unpriced) }, 'model_not_priced', '"tools[0].model"'],
        [{ response: { tools: tools(image.barred) } }, 'model_not_allowed', '"response.tools[0].model"'],
        [
          { input: [{ type: 'additional_tools', tools: tools(image.barred) }] },
          'model_not_allowed',
          '"input[0].tools[0].model"',
        ],
      ]
      for (const [at, [turn, code, member]] of turns.entries()) {
        client.send({ type: 'response.create', model, input: 'x', ...turn })
        const { error } = (await client.until('error', at + 1))[at]
        assert.equal(error.code, code)
        assert.ok(error.message.includes(member), error.message)
      }
      client.socket.send(
        `{"type":"response.create","model":"${model}","tools":[{"model":"${image.listed}","model":"${image.barred}"}]}`,
      )
      assert.match((await client.until('error', turns.length + 1))[turns.length].error.message, /twice/)
      client.send({ type: 'response.steer', input: [{ type: 'additional_tools', tools: tools(image.barred) }] })
      const steered = (await client.until('error', turns.length + 2))[turns.length + 1]
      assert.equal(steered.error.code, 'model_not_allowed')
      client.send({ type: 'response.create', model, input, tools: tools(image.listed) })
      await client.until('response.completed')
      client.socket.close()
      await client.closed
    })

    test('is refused in one request of a batch, and with it the batch', async () => {
      const { apiKey, projectId } = await newProject()
      const batchOf = (named: string, own = claude) => ({
        requests: [
          { custom_id: 'a', params: { model: own, max_tokens: 9, messages } },
          {
            custom_id: 'b',
            params: { model: own, max_tokens: 9, messages, tools: [{ type: 'advisor_20260301', model: named }] },
          },
        ],
      })
      const create = (named: string) => post('/anthropic/v1/messages/batches', apiKey, batchOf(named))
      const member = 'requests[1].params.tools[0].model'
      await assertRefused(await create(advisor.barred), 403, advisor.barred, member)
      await assertRefused(await create(advisor.unpriced), 400, advisor.unpriced, member)

      const createOfFile = async (named: string) => {
        const lines = [{}, { tools: [{ type: 'image_generation', model: named }] }].map((more, at) =>
          JSON.stringify({
            custom_id: `r${at}`,
            method: 'POST',
            url: '/v1/responses',
            body: { model, input, ...more },
          }),
        )
        const { id } = await gateway.openai(apiKey).files.create({
          file: new File([`${lines.join('\n')}\n`], 'batch.jsonl'),
          purpose: 'batch',
        })
        return post('/v1/batches', apiKey, {
          input_file_id: id,
          endpoint: '/v1/responses',
          completion_window: '24h',
        })
      }
      await assertRefused(await createOfFile(image.barred), 403, image.barred, '[1].body.tools[0].model')
      await assertRefused(await createOfFile(image.unpriced), 400, image.unpriced, '[1].body.tools[0].model')
      assert.deepEqual(
        gateway.eventsOf(projectId).filter(({ endpoint }) => endpoint.endsWith('batches.create')),
        [],
      )
      for (const allowed of [await create(advisor.listed), await createOfFile(image.listed)])
        assert.equal(allowed.status, 200, await allowed.text())
    })
  })
}
