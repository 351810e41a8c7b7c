import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { countTokens, type Simulator, startSimulator } from '@sluice/simulator'
import { sized } from '@sluice/test-env/test-size'
import fc from 'fast-check'
import { billOf, readCall, tokensOf } from '../../test/bounds/bound-witness.ts'
import { boundTextCall, type CallBound, sizeOf, type TextCall } from './call-bound.ts'
import { CountedPrompts } from './counted-prompts.ts'
import { tightenTextBound } from './tighten-bound.ts'

let simulator: Simulator
before(async () => {
  simulator = await startSimulator()
})
after(() => simulator.close())

const measured = (tokens: number) => ({
  quantities: { in_text: tokens - 1, in_cache_read: 1 },
  provenance: { in_text: 'measured' as const, in_cache_read: 'measured' as const },
})
const endpoints = { messages: 'messages', input: 'responses', chat: 'chat.completions' } as const
const words = (bytes: number) => 'all that there is to say of it. '.repeat(bytes / 32)
type Message = Record<string, unknown>
const said = (bytes: number): Message => ({ role: 'user', content: words(bytes) })
const claude = (messages: readonly Message[], more: object = {}) => ({
  model: 'claude-sonnet-4-6',
  max_tokens: 100,
  ...more,
  messages,
})

/** A gateway that has these requests made and counted, one after the other. */
class Sessions {
  readonly prompts = new CountedPrompts()

  mark(json: string, { name = 'messages', project = 'p', access = 'managed' } = {}) {
    const { call } = readCall(name, json)
    const size = sizeOf(call)
    return { call, size, prompt: this.prompts.read(call, size, project, access) }
  }

  read(json: string, of: Parameters<Sessions['mark']>[1] = {}) {
    const { call, size, prompt } = this.mark(json, of)
    const counted: TextCall = { ...call, size, counted: prompt?.counted }
    return { prompt, call: counted, bound: boundTextCall(counted), loose: boundTextCall(call) }
  }

  count(request: object, tokens: number, of: Parameters<Sessions['mark']>[1] = {}): void {
    this.mark(JSON.stringify(request), of).prompt?.learn(of?.access ?? 'managed', measured(tokens))
  }

  knows(request: object, of: Parameters<Sessions['mark']>[1] = {}): number | undefined {
    return this.mark(JSON.stringify(request), of).prompt?.counted?.tokens
  }
}

const text = fc
  .tuple(
    fc.integer({ min: 1, max: 4_000 }),
    fc.constantFrom('sea ', 'internationalisation ', 'é', '"{\\', '山', '🌊', 'ﷺ'),
  )
  .map(([times, word]) => word.repeat(times))
const turn = fc.oneof(
  text.map(content => ({ role: 'user', content })),
  text.map(content => ({ role: 'assistant', content })),
  fc.tuple(text, text).map(parts => ({ role: 'user', content: parts.map(part => ({ type: 'text', text: part })) })),
)
const session = fc.tuple(
  fc.array(turn, { minLength: 4, maxLength: 12 }),
  fc.array(turn, { maxLength: 4 }),
  fc.constantFrom('messages', 'chat.completions'),
  fc.constantFrom<(value: unknown) => string>(
    value => JSON.stringify(value),
    value => JSON.stringify(value, undefined, 1),
  ),
)

test('what was counted bounds all that goes on from it: nothing that the provider charges is above it', async () => {
  const runs = sized({ small: 16, full: 100 })
  let known = 0
  await fc.assert(
    fc.asyncProperty(session, async ([begun, more, name, write]) => {
      const sessions = new Sessions()
      const model = name === 'messages' ? 'claude-sonnet-4-6' : 'gpt-4.1'
      const request = (turns: readonly object[]) =>
        write({ model, max_tokens: 50, messages: [...turns, { role: 'user', content: '[[sim output_tokens=9]]' }] })
      const first = sessions.read(request(begun), { name })
      const { billed } = await billOf(simulator, name, Buffer.from(request(begun)))
      first.prompt?.learn('managed', measured(billed.input_fresh))
      const next = request([...begun, ...more])
      const { bound, call, loose, prompt } = sessions.read(next, { name })
      if (prompt?.counted) known++
      const bill = await billOf(simulator, name, Buffer.from(next))
      const tight = await tightenTextBound(call, bound, countTokens)
      for (const each of [bound, tight]) {
        assert.ok(each.amount('tokens', 0) <= loose.amount('tokens', 0))
        assertWithin(each, bill)
      }
    }),
    { numRuns: runs, seed: 11 },
  )
  assert.ok(known > runs / 4, 'sessions were known again')
})

function assertWithin(bound: CallBound, bill: Awaited<ReturnType<typeof billOf>>): void {
  const [usd, tokens] = [bound.amount('usd', bound.outputTokens), bound.amount('tokens', bound.outputTokens)]
  assert.ok(bill.cost_nano_usd <= usd, `${bill.cost_nano_usd} of ${usd} nano-USD`)
  assert.ok(tokensOf(bill) <= tokens, `${tokensOf(bill)} of ${tokens} tokens`)
}

for (const [name, before, after] of [
  ['of which a message follows', claude([said(80_000)]), claude([said(80_000), said(2_000)])],
  ['whose last message is written anew', claude([said(80_000), said(64)]), claude([said(80_000), said(96)])],
  ['that grows in its only message', claude([said(80_000)]), claude([said(84_000), said(64)])],
  [
    'that grows in its only piece',
    claude([{ role: 'user', content: [{ type: 'text', text: words(80_000) }] }]),
    claude([{ role: 'user', content: [{ type: 'text', text: words(84_000), cache_control: { type: 'ephemeral' } }] }]),
  ],
] as const)
  test(`a prompt ${name} is bounded by what was counted of it, and by the bytes of what is new`, () => {
    const sessions = new Sessions()
    sessions.count(before, 20_000)
    const { bound, loose } = sessions.read(JSON.stringify(after))
    assert.ok(loose.amount('tokens', 0) > 80_000)
    // A twentieth more, and the bytes since the last mark.
    assert.ok(bound.amount('tokens', 0) <= 21_256 + 4_096 + 4_400, String(bound.amount('tokens', 0)))
  })

test('of a prompt that can be counted here, what is new is counted by its tokens', async () => {
  const sessions = new Sessions()
  const chat = (messages: readonly Message[]) => ({ model: 'gpt-4.1', messages })
  sessions.count(chat([said(80_000)]), 20_000, { name: 'chat.completions' })
  const { call, bound } = sessions.read(JSON.stringify(chat([said(80_000), said(40_000)])), {
    name: 'chat.completions',
  })
  const asked: string[] = []
  const tight = await tightenTextBound(call, bound, async each => {
    asked.push(each)
    return 10_000
  })
  assert.equal(asked.length, 1)
  assert.ok((asked[0]?.length ?? 0) < 45_000)
  assert.equal(tight.amount('tokens', 0), 21_256 + 11_000)
})

test('of two prompts that begin the same, the shorter one tells of the beginning', () => {
  const sessions = new Sessions()
  const [short, long] = [claude([said(40_000), said(64)]), claude([said(40_000), said(40_000)])]
  sessions.count(long, 20_000)
  sessions.count(short, 10_000)
  assert.equal(sessions.knows(claude([said(40_000), said(128)])), 10_000)
  sessions.count(claude([said(40_000), said(160)]), 10_040)
  assert.equal(sessions.knows(claude([said(40_000), said(128)])), 10_000)
})

test('what one provider has counted for one project says nothing to another, nor of another request around it', () => {
  const sessions = new Sessions()
  const request = claude([said(80_000)])
  sessions.count(request, 20_000)
  assert.equal(sessions.knows(request), 20_000)
  assert.equal(sessions.knows(request, { project: 'other' }), undefined)
  assert.equal(sessions.knows(request, { access: 'int_1' }), undefined)
  for (const more of [{ model: 'claude-opus-4-6' }, { system: 'You are.' }, { tools: [{ name: 'read' }] }])
    assert.equal(sessions.knows(claude([said(80_000)], more)), undefined, JSON.stringify(more))
  const { prompt } = sessions.read(JSON.stringify(claude([said(88_000)])))
  prompt?.learn('int_1', measured(22_000))
  prompt?.learn('managed', { ...measured(22_000), provenance: { in_text: 'estimated' } })
  prompt?.learn('managed', { quantities: {}, provenance: {} })
  assert.equal(sessions.knows(claude([said(88_000)])), 20_000)
})

const deferred = { name: 'read', input_schema: { type: 'object' }, defer_loading: true }
const part = (type: string, more: object = {}) => ({ role: 'assistant', content: [{ type, ...more }] })
for (const [name, request, endpoint] of [
  ['thoughts', claude([said(80_000), part('thinking', { thinking: 'So.', signature: 'x' })])],
  ['a summary that stands for it', claude([said(80_000), part('compaction', { content: 'All.' })])],
  ['a part that is cleared', claude([said(80_000)], { context_management: { edits: [] } })],
  ['a file', claude([said(80_000), part('document', { source: { type: 'file', file_id: 'file_1' } })])],
  ['a middle that is left out', { model: 'gpt-4.1', truncation: 'auto', input: [said(80_000)] }, endpoints.input],
  ['what came before', { model: 'gpt-4.1', previous_response_id: 'r', input: [said(80_000)] }, endpoints.input],
  ['reasoning', { model: 'gpt-5.4', input: [said(80_000), { type: 'reasoning', id: 'r' }] }, endpoints.input],
  ['tools that are read once they are looked for', claude([said(80_000)], { tools: [deferred] })],
  ['results that are cut out', claude([said(80_000), part('cache_edits', { edits: [] })])],
  ['a model that nobody here knows', { model: 'own', messages: [said(80_000)] }, endpoints.chat],
] as const)
  test(`a prompt with ${name} is not told by what was counted: it may be read in another way`, () => {
    const sessions = new Sessions()
    sessions.count(request, 20, { name: endpoint ?? 'messages' })
    assert.equal(sessions.knows(request, { name: endpoint ?? 'messages' }), undefined)
  })

test('names in tools that may be written with escapes are none that are known to be read', () => {
  const sessions = new Sessions()
  const json = JSON.stringify(claude([said(80_000)], { tools: [deferred] })).replace('defer_', 'defer\\u005f')
  sessions.read(json).prompt?.learn('managed', measured(20))
  assert.equal(sessions.read(json).prompt, undefined)
})

test('behind more messages than any session has nothing is looked at', () => {
  const sessions = new Sessions()
  const empty = (count: number) => claude([...Array.from({ length: count }, () => ({})), said(80_000)])
  for (const [count, known] of [
    [16_383, 20_000],
    [16_384, undefined],
  ] as const) {
    sessions.count(empty(count), 20_000)
    const { prompt } = sessions.read(
      JSON.stringify({ ...empty(count), messages: [...empty(count).messages, said(64)] }),
    )
    assert.equal(prompt?.counted && prompt.counted.end > 16_384 * 3 + 40_000 ? prompt.counted.tokens : undefined, known)
  }
})

test('a message that takes back what it has begun with tells nothing of its beginning', () => {
  const sessions = new Sessions()
  const head = `{"model":"claude-sonnet-4-6","max_tokens":9,"messages":[{"role":"user","content":"${words(80_000)}`
  const taken = sessions.read(`${head}","content":"Nothing."}]}`)
  taken.prompt?.learn('managed', measured(20))
  assert.equal(sessions.read(`${head}"}]}`).prompt?.counted, undefined)
  assert.equal(
    sessions.read(`${head}","content":"Nothing."}, {"role":"user","content":"x"}]}`).prompt?.counted?.tokens,
    20,
  )
})

test('it is forgotten after an hour, and a project with many sessions pushes out none of another', t => {
  t.mock.timers.enable({ apis: ['Date'], now: 1_000_000 })
  const sessions = new Sessions()
  const ofOther = claude([said(32_000)])
  sessions.count(ofOther, 8_000, { project: 'other' })
  const numbered = (number: number) => claude([{ role: 'user', content: `${number} ${words(16_512)}` }])
  // Three marks of each, and a project has 16,384.
  for (let number = 0; number < 6_000; number++) sessions.count(numbered(number), 5_000)
  assert.equal(sessions.knows(ofOther, { project: 'other' }), 8_000)
  assert.equal(sessions.knows(numbered(0)), undefined)
  assert.equal(sessions.knows(numbered(5_999)), 5_000)
  t.mock.timers.tick(60 * 60_000)
  assert.equal(sessions.knows(numbered(5_999)), undefined)
})
