import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compilePriceBook } from '@sluice/pricing'
import { allowModel, type PriceBooksOfCall } from './allow-model.ts'
import type { Principal } from './authenticate.ts'
import { endpoints } from './endpoints.ts'
import { readModelRequest } from './read-request.ts'
import type { Refusal } from './refusal.ts'

const rate = (base: number) => ({ base })
const book = compilePriceBook({
  format: 1,
  providers: {
    openai: {
      models: [
        { id: 'talker', match: { equals: 'talker' }, rates: { in_text: rate(1), out_text: rate(2) } },
        { id: 'speaker', match: { equals: 'speaker' }, rates: { chars_in: rate(3) } },
        { id: 'nothing', match: { contains: 'moderation' }, rates: {} },
      ],
    },
  },
})
const prices: PriceBooksOfCall = { book, override: undefined }

/** One for all: what it was let pass is no reason to let it pass again where anything differs. */
const identity = {}

function refusalOf(unpriced: string, model: string, books = prices, provider = 'openai', shape = 'chat' as const) {
  const principal = { identity, project: { allowed_models: null, unpriced }, modelLists: [] } as unknown as Principal
  try {
    allowModel(principal, provider, model, books, shape)
    return undefined
  } catch (error) {
    return error as Refusal
  }
}

test('a model without a price is refused, assumed at the highest price, or metered without one, as the project says', () => {
  assert.equal(refusalOf('deny', 'talker'), undefined)
  assert.equal(refusalOf('deny', 'unheard-of')?.reason, 'model_not_priced')
  assert.equal(refusalOf('assume_max', 'unheard-of'), undefined)
  assert.equal(refusalOf('meter_tokens_only', 'unheard-of'), undefined)
})

test('a model with a price for something else than this path uses is treated like one without', () => {
  const refusal = refusalOf('deny', 'speaker')
  assert.equal(refusal?.reason, 'model_not_priced')
  assert.match(refusal?.message ?? '', /no price for in_text/)
  assert.equal(refusalOf('deny', 'omni-moderation-2')?.reason, 'model_not_priced')
  assert.equal(refusalOf('assume_max', 'speaker'), undefined)
  assert.equal(refusalOf('meter_tokens_only', 'speaker'), undefined)
})

test('a chat that speaks needs a price for sound, where the request tells', () => {
  const principal = {
    identity,
    project: { allowed_models: null, unpriced: 'deny' },
    modelLists: [],
  } as unknown as Principal
  const allow = (request: object | string) => {
    const members = typeof request === 'string' ? request : JSON.stringify(request).slice(1, -1)
    const body = Buffer.from(`{"model":"talker"${members && ','}${members}}`)
    allowModel(principal, 'openai', 'talker', prices, 'chat', undefined, readModelRequest(chat, body).sound?.names)
  }
  const data = Buffer.alloc(3000).toString('base64')
  const hear = (clip: string) => [
    { role: 'user', content: [{ type: 'input_audio', input_audio: { data: clip, format: 'wav' } }] },
  ]
  const drawn = [
    { role: 'user', content: [{ type: 'image_url', image_url: { url: `data:image/png;base64,${data}` } }] },
  ]
  assert.throws(() => allow({ modalities: ['text', 'audio'] }), /no price for out_audio/)
  for (const request of [
    String.raw`"modalities":["text","\u0061udio"]`,
    String.raw`"modaliti\u0065s":["audio"]`,
    `"modalities":[${' '.repeat(2_000)}"audio"]`,
  ])
    assert.throws(() => allow(request), /no price for out_audio/, request.slice(0, 50))
  const written = JSON.stringify({ messages: hear('AAAA') }).slice(1, -1)
  for (const request of [
    { messages: hear(data) },
    { messages: hear('AAAA') },
    { messages: [{ role: 'user', content: hear('AAAA')[0]?.content[0] }] },
    written.replaceAll('input_audio', String.raw`input_audi\u006f`),
    written.replace('"type"', String.raw`"t\u0079pe"`),
  ])
    assert.throws(() => allow(request), /no price for in_audio/, JSON.stringify(request).slice(0, 90))
  const tool = { name: 'play', parameters: { type: 'object', properties: { input_audio: { type: 'string' } } } }
  for (const request of [
    { modalities: ['text'] },
    { modalities: null },
    { messages: drawn },
    { messages: drawn, tools: [{ type: 'function', function: tool }] },
    { messages: [{ role: 'user', content: written }] },
    {},
  ])
    allow(request)
})

const chat = endpoints.find(({ name }) => name === 'chat.completions') ?? assert.fail()

test('where nothing can be assumed the model is refused, never free', () => {
  assert.equal(refusalOf('assume_max', 'unheard-of', prices, 'anthropic')?.reason, 'model_not_priced')
})

test("a project's own price lets its model pass", () => {
  const override = compilePriceBook({
    format: 1,
    providers: {
      openai: {
        models: [{ id: 'mine', match: { equals: 'my-model' }, rates: { in_text: rate(1), out_text: rate(1) } }],
      },
    },
  })
  assert.equal(refusalOf('deny', 'my-model')?.reason, 'model_not_priced')
  assert.equal(refusalOf('deny', 'my-model', { book, override }), undefined)
})

test('what was let pass once is refused as soon as a list, a book or the project says so', () => {
  const project = { allowed_models: null, unpriced: 'refuse' }
  const all = ['openai/*']
  const none = ['openai/other']
  const of = (more: object, books = prices): string | undefined => {
    try {
      allowModel(
        { identity, project, modelLists: [all], ...more } as unknown as Principal,
        'openai',
        'talker',
        books,
        'chat',
      )
      return undefined
    } catch (error) {
      return (error as Refusal).reason
    }
  }
  const emptied = { book: compilePriceBook({ format: 1, providers: {} }), override: undefined }
  assert.deepEqual(
    [
      of({}),
      of({}),
      of({ modelLists: [all, none] }),
      of({ modelLists: [none] }),
      of({ project: { ...project, allowed_models: none } }),
      of({}, emptied),
      of({}),
    ],
    [
      undefined,
      undefined,
      'model_not_allowed',
      'model_not_allowed',
      'model_not_allowed',
      'model_not_priced',
      undefined,
    ],
  )
})
