import assert from 'node:assert/strict'
import { once } from 'node:events'
import { suite, type TestContext, test } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import type { BillRecord } from '@sluice/simulator'
import { eventually, silence, sized } from '@sluice/test-env'
import OpenAI from 'openai'
import WebSocket from 'ws'
import { EventFeed } from './event-feed.ts'
import { newProject } from './new-project.ts'
import { storyStack } from './story-stack.ts'

const { stack, admin } = await storyStack()

interface BudgetAnswer {
  id: string
  spent: string
  held: string
  left: string
}

/** On a machine that is too busy for a home to answer in time, calls are told to come back: here they do. */
const patiently: typeof fetch = async (input, init) => {
  for (;;) {
    const answer = await fetch(input, init)
    if (answer.ok || !/budget_unavailable|Too many calls wait/.test(await answer.clone().text())) return answer
    await new Promise(resolve => setTimeout(resolve, 200))
  }
}

/** A project of its own with one hard budget over it, which the gateway knows. */
async function hardBudget(name: string, wish: Record<string, unknown>, settings: Record<string, unknown> = {}) {
  const { projectId, apiKey } = await newProject(stack, admin, settings)
  const path = `/accounts/projects/${projectId}/budgets`
  const { status, body } = await admin.call<BudgetAnswer>('POST', path, {
    name,
    scope: {},
    unit: 'usd',
    window: 'day',
    mode: 'hard',
    hold: 'exact',
    ...wish,
  })
  assert.equal(status, 201, JSON.stringify(body))
  const read = async (): Promise<BudgetAnswer> => (await admin.call<BudgetAnswer>('GET', `${path}/${body.id}`)).body
  const openai = new OpenAI({ baseURL: stack.openaiBaseUrl, apiKey, maxRetries: 0, fetch: patiently })
  let probes = 0
  await eventually(async () => {
    probes++
    const { response } = await openai.chat.completions
      .create({ model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'x' }], max_tokens: 1 })
      .withResponse()
    assert.equal(response.headers.get('sluice-budget-name'), name)
    return true
  })
  return { projectId, apiKey, openai, read, path: `${path}/${body.id}`, probes }
}

/** What the provider charges since now, in nano-USD, by its own prices. */
async function billSince(): Promise<() => Promise<BillRecord[]>> {
  const read = async (since: number) =>
    (await (await fetch(`${stack.simulatorUrl}/simulator/bill?since=${since}`)).json()) as {
      records: BillRecord[]
      next_since: number
    }
  const { next_since: since } = await read(0)
  return () =>
    eventually(async () => {
      const { records } = await read(since)
      return records.every(({ ended }) => ended !== 'running') && records
    })
}

const write = (tokens: number) => `Write. [[sim output_tokens=${tokens} delay_ms=1]]`
/** 2,500 tokens a second. */
const cadence = sized({ small: 'delay_ms=10 tokens_per_chunk=25', full: 'delay_ms=2 tokens_per_chunk=5' })

test('many streams at once on one exact budget: the provider charges no more than its limit, and nearly all of it can be spent', async () => {
  const { streams, tokens, limit } = sized({
    small: { streams: 16, tokens: 90, limit: '0.012' },
    full: { streams: 40, tokens: 300, limit: '0.05' },
  })
  const { openai, read } = await hardBudget('crowd', { limit })
  const bill = await billSince()
  const outcomes = await Promise.all(
    Array.from({ length: streams }, async () => {
      try {
        const stream = await openai.chat.completions.create({
          model: 'gpt-4o',
          messages: [{ role: 'user', content: write(tokens) }],
          max_tokens: (tokens / 3) * 4,
          stream: true,
        })
        for await (const _ of stream) {
        }
        return 'answered'
      } catch (error) {
        assert.ok(error instanceof OpenAI.RateLimitError, String(error))
        return 'refused'
      }
    }),
  )
  const answered = outcomes.filter(outcome => outcome === 'answered').length
  assert.ok(answered > 3 && answered < streams, `${answered} of ${streams} were answered`)
  await eventually(async () => {
    const { held } = await read()
    return Number(held) === 0
  })
  const charged = (await bill()).reduce((sum, record) => sum + record.cost_nano_usd, 0)
  assert.ok(charged <= Number(limit) * 1e9, `${charged} nano-USD of $${limit}`)
  const { spent } = await read()
  console.log(`${answered} of ${streams} answered, charged ${charged} nano-USD, budget says ${spent}`)
})

test('a paced budget pays for a stream as it goes on, and ends it cleanly where the money does', async () => {
  const { openai } = await hardBudget('paced', { limit: '0.08', hold: 'paced' })
  const bill = await billSince()
  const stream = await openai.chat.completions.create({
    model: 'gpt-4o',
    messages: [{ role: 'user', content: `Write. [[sim output_tokens=9000 ${cadence}]]` }],
    stream: true,
  })
  let finish: string | null | undefined
  let text = ''
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta?.content ?? ''
    finish = chunk.choices[0]?.finish_reason ?? finish
  }
  assert.equal(finish, 'length', 'it ends as if a limit had been reached')
  const charged = (await bill()).reduce((sum, record) => sum + record.cost_nano_usd, 0)
  console.log(`${text.length} characters, charged ${charged} of 80,000,000 nano-USD`)
  assert.ok(charged > 20_000_000, 'it went on beyond its first tranche')
  assert.ok(charged <= 80_000_000)
  // At the dearest service tier that may serve it, it would have ended at 47 million: its reply says in which one it is.
  assert.ok(charged > 50_000_000, `${charged} nano-USD`)
})

test('a paced stream goes on to its end when its budget is made soft, and counts there whole', async () => {
  const { openai, path, read } = await hardBudget('softened', { limit: '0.04', hold: 'paced' })
  const bill = await billSince()
  const stream = await openai.chat.completions.create({
    model: 'gpt-4o',
    messages: [{ role: 'user', content: `Write. [[sim output_tokens=6000 ${cadence}]]` }],
    stream: true,
  })
  let finish: string | null | undefined
  let chunks = 0
  for await (const chunk of stream) {
    if (++chunks === 10) assert.equal((await admin.call('PATCH', path, { mode: 'soft' })).status, 200)
    finish = chunk.choices[0]?.finish_reason ?? finish
  }
  assert.equal(finish, 'stop')
  const charged = (await bill()).reduce((sum, record) => sum + record.cost_nano_usd, 0)
  await eventually(async () => {
    // The calls that found the budget count there too.
    const more = Math.round(Number((await read()).spent) * 1e9) - charged
    return more >= 0 && more < 1_000_000
  })
})

test('a form is held as long as its sound can cost, and refused where that is more than is left', async () => {
  const { openai, read } = await hardBudget('heard', { limit: '0.01' })
  const bill = await billSince()
  const hear = (seconds: number) =>
    openai.audio.transcriptions.create({ model: 'whisper-1', file: new File([silence(seconds * 1_000)], 'said.wav') })
  await hear(30)
  const [record] = await bill()
  assert.ok(record && record.cost_nano_usd > 0)
  await eventually(async () => Number((await read()).spent) * 1e9 >= record.cost_nano_usd)
  await assert.rejects(hear(120), (error: unknown) => {
    assert.ok(error instanceof OpenAI.RateLimitError, String(error))
    assert.match(error.message, /Budget "heard" has too little left/)
    return true
  })
  assert.equal((await bill()).length, 1)
})

test('a turn of a Responses socket is clamped to what its budget pays for; the next is refused by an event, and the socket stays', async t => {
  const { apiKey } = await hardBudget('turns', { limit: '0.01', window: 'month' })
  const bill = await billSince()
  const client = await openSocket(t, '/v1/responses', apiKey)
  const turn = { type: 'response.create', model: 'gpt-4o', input: write(5_000), max_output_tokens: 4_000 }
  client.send(turn)
  const [ended] = await client.until('response.incomplete')
  const { output_tokens: put } = ended?.response.usage ?? { output_tokens: 0 }
  assert.ok(put >= 256 && put < 1_000, `${put} tokens`)
  // Wherever a client says it, the same.
  client.send({ type: 'response.create', response: { model: 'gpt-4o', input: write(5_000) } })
  const [refused] = await client.until('error')
  assert.equal(refused?.status, 402)
  assert.match(refused?.error.message ?? '', /Budget "turns" has too little left/)
  assert.equal(client.socket.readyState, client.socket.OPEN)
  const charged = (await bill()).reduce((sum, record) => sum + record.cost_nano_usd, 0)
  assert.ok(charged > 0 && charged <= 10_000_000, `${charged} nano-USD`)
})

test('a paced budget pays for a turn of a Responses socket as it goes on, and the socket stays when the money is gone', async t => {
  const { apiKey } = await hardBudget('paced turns', { limit: '0.08', hold: 'paced' })
  const bill = await billSince()
  const client = await openSocket(t, '/v1/responses', apiKey)
  const input = `Write. [[sim output_tokens=9000 ${cadence}]]`
  client.send({ type: 'response.create', model: 'gpt-4o', input })
  await client.until('response.incomplete')
  assert.equal(client.socket.readyState, client.socket.OPEN)
  const charged = (await bill()).reduce((sum, record) => sum + record.cost_nano_usd, 0)
  assert.ok(charged > 20_000_000 && charged <= 80_000_000, `${charged} nano-USD`)
})

/** Not so near to the end of a minute that a burst would fall into two. */
async function inOneMinute(): Promise<void> {
  const left = 60_000 - (Date.now() % 60_000)
  if (left < 10_000) await new Promise(resolve => setTimeout(resolve, left + 50))
}

const burst = sized({ small: 30, full: 100 })

/**
 * A limit for each of what one may be for: a key, a member, a team, an app, a model of either dialect, a project. Each comes with
 * what calls under it, in the dialects it knows.
 * @param turn in small, every second of them, from this one on
 */
async function limitedScopes(wish: Record<string, unknown>, turn?: 0 | 1) {
  // Whoever leaves has left: nothing is read on for them.
  const settings = { on_client_abort: { openai: 'cancel', anthropic: 'cancel' } }
  const [{ projectId }, whole] = [await newProject(stack, admin, settings), await newProject(stack, admin, settings)]
  const make = async <T>(at: string, body: object, project = projectId): Promise<T> => {
    const answer = await admin.call<T>('POST', `/accounts/projects/${project}${at}`, body)
    assert.ok(answer.status < 300, `${at}: ${JSON.stringify(answer.body)}`)
    return answer.body
  }
  const keyOf = (owner: object = {}) => make<{ id: string; value: string }>('/api-keys', { name: 'limited', ...owner })
  const person = { email: `${projectId}@example.com`, can_use_llm_proxy: true }
  const { user_id: member } = await make<{ user_id: string }>('/users', person)
  const { id: team } = await make<{ id: string }>('/teams', { name: 'limited' })
  const [key, free, last] = [await keyOf(), await keyOf(), await keyOf()]
  const [ofMember, ofTeam] = [await keyOf({ member_id: member }), await keyOf({ team_id: team })]
  const models = { openai: 'gpt-4o', anthropic: 'claude-sonnet-4-5' } as const
  const limitedModels = { openai: 'gpt-4o-mini', anthropic: 'claude-haiku-4-5' } as const
  type Dialect = keyof typeof models
  const both: readonly Dialect[] = ['openai', 'anthropic']
  const all = [
    { scope: { key: key.id }, bearer: key.value, dialects: both },
    { scope: { member }, bearer: ofMember.value, dialects: both },
    { scope: { team }, bearer: ofTeam.value, dialects: both },
    { scope: { app: 'limited-app' }, bearer: free.value, app: 'limited-app/1.0', dialects: both },
    ...both.map(dialect => {
      const model = limitedModels[dialect]
      return { scope: { model }, bearer: free.value, model, dialects: [dialect] }
    }),
    { scope: {}, bearer: whole.apiKey, project: whole.projectId, dialects: both },
  ] as { scope: object; bearer: string; app?: string; model?: string; project?: string; dialects: readonly Dialect[] }[]
  const cases = all.filter((_, at) => sized({ small: turn === undefined || at % 2 === turn, full: true }))
  const limit = (scope: object, project?: string) =>
    make<BudgetAnswer>('/budgets', { name: 'narrow', mode: 'hard', scope, ...wish }, project)
  if (wish.window === 'minute') await inOneMinute()
  const budgets: BudgetAnswer[] = []
  for (const { scope, project } of cases) budgets.push(await limit(scope, project))
  // Gateways hear of budgets in their order: who sees the last knows them all.
  await limit({ key: last.id })
  const post = (bearer: string, dialect: Dialect, content: string, more: object = {}, app = 'any') =>
    patiently(
      dialect === 'openai' ? `${stack.openaiBaseUrl}/chat/completions` : `${stack.anthropicBaseUrl}/v1/messages`,
      {
        method: 'POST',
        headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json', 'user-agent': app },
        body: JSON.stringify({
          model: models[dialect],
          max_tokens: 50,
          messages: [{ role: 'user', content }],
          ...more,
        }),
      },
    )
  await eventually(async () => {
    const answer = await post(last.value, 'openai', 'x')
    await answer.arrayBuffer()
    return answer.headers.get('sluice-budget-name') === 'narrow'
  })
  return cases.map(({ scope, bearer, app, model, project, dialects }, at) => ({
    name: JSON.stringify(scope),
    /** The call of this number: in the dialects by turns. */
    call: (number: number, content: string, more?: object) => {
      const dialect = dialects[number % dialects.length] ?? 'openai'
      return post(bearer, dialect, content, { ...(model && { model }), ...more }, app).then(answer => ({
        dialect,
        answer,
      }))
    },
    /** By another key of the project, as another app, with another model: it meets no limit. */
    passBy: () => (project === undefined ? post(free.value, 'openai', 'x') : undefined),
    budget: async () =>
      (await admin.call<BudgetAnswer>('GET', `/accounts/projects/${project ?? projectId}/budgets/${budgets[at]?.id}`))
        .body,
  }))
}

/** What an answer says of a rate limit, in the headers of its dialect. */
function rateIn({ dialect, answer: { headers } }: { dialect: string; answer: Response }, unit: 'requests' | 'tokens') {
  const [limit, remaining, reset] = ['limit', 'remaining', 'reset'].map(part =>
    headers.get(dialect === 'openai' ? `x-ratelimit-${part}-${unit}` : `anthropic-ratelimit-${unit}-${part}`),
  )
  const seconds =
    dialect === 'openai' ? Number(/^(\d+)s$/.exec(reset ?? '')?.[1]) : (Date.parse(reset ?? '') - Date.now()) / 1_000
  return { limit, remaining: Number(remaining), seconds }
}

function assertResets(seconds: number, name: string): void {
  assert.ok(seconds > -1 && seconds <= 60, `${name}: ${seconds} s`)
}

test('sound that another model writes down is held ahead; without money for it, it does not reach the provider', async t => {
  const { apiKey, path, read } = await hardBudget('heard aside', { limit: '0.01' })
  const bill = await billSince()
  const client = await openSocket(t, '/v1/realtime?intent=transcription', apiKey)
  client.send({
    type: 'session.update',
    session: { type: 'transcription', audio: { input: { transcription: { model: 'whisper-1' } } } },
  })
  await client.until('session.updated')
  const append = { type: 'input_audio_buffer.append', audio: Buffer.alloc(48 * 1_000).toString('base64') }
  const commit = { type: 'input_audio_buffer.commit' }
  client.send(append)
  assert.ok(await eventually(async () => Number((await read()).held) > 0.006), 'a minute of it can cost $0.006')
  // What is held already is paid for; what comes behind it is not.
  assert.equal((await admin.call('PATCH', path, { limit: '0.001' })).status, 200)
  client.send(commit)
  await client.until('conversation.item.input_audio_transcription.completed')
  await eventually(async () => Number((await read()).held) === 0)
  for (const event of [append, append, append, commit]) client.send(event)
  const told = await client.until('error', 2)
  for (const { error } of told) assert.match(error.message, /Budget "heard aside" has too little left/)
  assert.equal((await bill()).length, 1)
  assert.deepEqual([client.all('error').length, client.socket.readyState], [2, client.socket.OPEN])
  client.send({ type: 'input_audio_buffer.clear' })
  await client.until('input_audio_buffer.cleared')
  assert.equal(client.all('input_audio_buffer.committed').length, 1)
})

test('a call by WebRTC is made where a turn can be paid for, and its turns count; with less it is not made', async () => {
  const settings = { path_classes: { realtime_calls: true } }
  const { openai, path, read } = await hardBudget('called', { limit: '5.00' }, settings)
  const bill = await billSince()
  const offer = { sdp: 'v=0\r\n', session: { type: 'realtime', model: 'gpt-realtime' } } as const
  await openai.realtime.calls.create(offer)
  // The far end speaks three times by itself.
  const turns = await eventually(async () => {
    const records = await bill()
    return records.length === 3 && records
  })
  const charged = turns.reduce((sum, record) => sum + record.cost_nano_usd, 0)
  await eventually(async () => Number((await read()).spent) * 1e9 >= charged)
  assert.equal((await admin.call('PATCH', path, { limit: '0.50' })).status, 200)
  await assert.rejects(openai.realtime.calls.create(offer), /Budget "called" has too little left/)
  assert.equal((await bill()).length, 3)
})

function callIdOf({ headers }: Response): string | undefined {
  return headers.get('location')?.split('/').at(-1)
}

/** An event of a socket, as far as these tests look into it. */
interface SocketEvent {
  type: string
  status?: number
  error: { code: string; message: string }
  response: { id: string; status: string; usage: { output_tokens: number } }
  session: { audio: { input: { turn_detection: { create_response?: boolean } } } }
}

async function openSocket(t: TestContext, path: string, apiKey: string, url = stack.url) {
  const socket = new WebSocket(url.replace('http', 'ws') + path, {
    headers: { authorization: `Bearer ${apiKey}` },
  })
  t.after(() => socket.terminate())
  const events: SocketEvent[] = []
  socket.on('message', data => events.push(JSON.parse(String(data))))
  await once(socket, 'open')
  const all = (type: string) => events.filter(event => event.type === type)
  return {
    socket,
    all,
    lastOf: (type: string) => all(type).at(-1),
    send: (event: object) => socket.send(JSON.stringify(event)),
    until: (type: string, count = 1) =>
      eventually(() => all(type).length >= count && all(type), {
        message: `${count} × ${type}: ${JSON.stringify(events.map(each => each.type))}`,
      }),
  }
}

test('a call that comes to more than its bound counts whole, and its operator is told', async () => {
  const { openai, read } = await hardBudget('above', { limit: '9000', unit: 'tokens' })
  const exceeded = async (): Promise<number> => {
    const { origin } = new URL(stack.services.gateway.plan.readyUrl)
    const metrics = await (await fetch(`${origin}/metrics`)).text()
    return Number(/^gateway_bounds_exceeded_total (\d+)$/m.exec(metrics)?.[1])
  }
  const before = await exceeded()
  // Counted by the vocabulary, since its bytes do not fit; its provider takes it for more.
  const { usage } = await openai.chat.completions.create({
    model: 'gpt-4o',
    messages: [{ role: 'user', content: ' international'.repeat(2_000) }],
    max_tokens: 20,
  })
  await eventually(async () => (await exceeded()) === before + 1)
  await eventually(async () => Number((await read()).spent) >= (usage?.total_tokens ?? Number.NaN))
})

// Each of these has a project of its own, and looks at nothing that others do.
suite('beside others', { concurrency: 6 }, () => {
  test('a call that its budget cannot pay whole is answered with less output, and says so; the next is refused at once by both SDKs', async () => {
    const { openai, apiKey, read } = await hardBudget('short', { limit: '0.01', window: 'month' })
    const ask = () =>
      openai.chat.completions
        .create({ model: 'gpt-4o', messages: [{ role: 'user', content: write(5_000) }], max_tokens: 4_000 })
        .withResponse()
    const { data, response } = await ask()
    const clampedTo = Number(response.headers.get('sluice-clamped'))
    assert.ok(clampedTo >= 256 && clampedTo < 1_000, `clamped to ${clampedTo}`)
    assert.equal(data.choices[0]?.finish_reason, 'length')
    assert.equal(data.usage?.completion_tokens, clampedTo)

    const retrying = new OpenAI({ baseURL: stack.openaiBaseUrl, apiKey, fetch: patiently })
    const begun = performance.now()
    await assert.rejects(
      retrying.chat.completions.create({ model: 'gpt-4o', messages: [{ role: 'user', content: 'again' }] }),
      (error: unknown) => {
        assert.ok(error instanceof OpenAI.RateLimitError)
        assert.equal(error.code, 'insufficient_quota')
        assert.match(
          error.message,
          /^429 Budget "short" has too little left: \$0\.00\d+ of \$0\.01 \(month\) is spent, and this call needs \$0\.\d+ at least, so it is out of credits\. It resets at /,
        )
        return true
      },
    )
    const anthropic = new Anthropic({ baseURL: stack.anthropicBaseUrl, apiKey, fetch: patiently })
    await assert.rejects(
      anthropic.messages.create({
        model: 'claude-sonnet-4-5',
        max_tokens: 1_000,
        messages: [{ role: 'user', content: 'again' }],
      }),
      (error: unknown) => {
        assert.ok(error instanceof Anthropic.RateLimitError)
        assert.match(error.message, /Budget \\?"short\\?" has too little left/)
        return true
      },
    )
    console.log(`both refused after ${Math.round(performance.now() - begun)} ms`)
    const { spent } = await read()
    assert.ok(Number(spent) <= 0.01)
  })

  test('a rate limit of tokens makes no call fail that another of its budgets pays for with less output', async () => {
    const { openai, projectId } = await hardBudget('short', { limit: '0.01' })
    const rate = { name: 'rate', unit: 'tokens', limit: '1000000', window: 'minute', mode: 'hard' }
    assert.equal((await admin.call('POST', `/accounts/projects/${projectId}/budgets`, rate)).status, 201)
    const ask = (max_tokens: number) =>
      openai.chat.completions
        .create({ model: 'gpt-4o', messages: [{ role: 'user', content: write(5_000) }], max_tokens })
        .withResponse()
    await eventually(async () => (await ask(1)).response.headers.get('x-ratelimit-limit-tokens') === '1000000')
    const { data, response } = await ask(4_000)
    const clampedTo = Number(response.headers.get('sluice-clamped'))
    assert.ok(clampedTo >= 256 && clampedTo < 1_000, `clamped to ${clampedTo}`)
    assert.equal(data.usage?.completion_tokens, clampedTo)
  })

  test('a paced stream that held all that it may say gives back what another call lacks, and both are answered whole', async () => {
    const { openai } = await hardBudget('shared', { limit: '0.30', hold: 'paced' })
    const model = 'gpt-4o'
    // It may say 16,384 tokens, which is nearly all that there is.
    const stream = await openai.chat.completions.create({
      model,
      messages: [{ role: 'user', content: 'Write. [[sim output_tokens=400 delay_ms=50 tokens_per_chunk=10]]' }],
      stream: true,
    })
    const read = stream[Symbol.asyncIterator]()
    await read.next()
    const asked = { model, messages: [{ role: 'user' as const, content: write(50) }], max_tokens: 4_000 }
    const { data, response } = await openai.chat.completions.create(asked).withResponse()
    assert.equal(response.headers.get('sluice-clamped'), null)
    assert.equal(data.choices[0]?.finish_reason, 'stop')
    let finish: string | null | undefined
    for (let next = await read.next(); !next.done; next = await read.next())
      finish = next.value.choices[0]?.finish_reason ?? finish
    assert.equal(finish, 'stop')
  })

  test('what the prompt of a message turns out not to cost is there for others as soon as its reply begins', async () => {
    const { apiKey } = await hardBudget('read', { limit: '0.20', hold: 'paced' })
    const anthropic = new Anthropic({ baseURL: stack.anthropicBaseUrl, apiKey, maxRetries: 0, fetch: patiently })
    const say = (words: number, max_tokens: number, directives: string) => ({
      model: 'claude-sonnet-4-6',
      max_tokens,
      messages: [{ role: 'user' as const, content: `${'sea '.repeat(words)}[[sim ${directives}]]` }],
    })
    // Its bytes alone are two thirds of the limit, taken for tokens.
    const stream = anthropic.messages.stream(say(10_000, 2_000, 'output_tokens=800 delay_ms=50 tokens_per_chunk=10'))
    await stream.emitted('streamEvent')
    const { response } = await anthropic.messages.create(say(7_500, 300, 'output_tokens=20')).withResponse()
    assert.equal(response.headers.get('sluice-clamped'), null)
    stream.abort()
  })

  test('a prompt of which bytes are too many to pay for is counted in tokens, and sent', async () => {
    const { openai } = await hardBudget('counted', { limit: '0.10' })
    const { data, response } = await openai.chat.completions
      .create({
        model: 'gpt-4o',
        messages: [{ role: 'user', content: `${'A word in the sea. '.repeat(2_000)}${write(50)}` }],
        max_tokens: 300,
      })
      .withResponse()
    assert.equal(data.usage?.completion_tokens, 50)
    assert.equal(response.headers.get('sluice-clamped'), null)
  })

  test('a session goes on where its bytes are more than is left, since its provider has counted what it has said before', async () => {
    const { apiKey, probes } = await hardBudget('session', { limit: '0.40' })
    const anthropic = new Anthropic({ baseURL: stack.anthropicBaseUrl, apiKey, maxRetries: 0, fetch: patiently })
    const said = (bytes: number) => ({
      role: 'user' as const,
      content: 'All that there is to say of it. '.repeat(bytes / 32),
    })
    const call = (...messages: Anthropic.MessageParam[]) =>
      anthropic.messages.create({ model: 'claude-sonnet-4-5', max_tokens: 300, messages })
    assert.ok(probes * 0.001 < 0.01)
    // At $3.30 a million: $0.264 by its bytes, of which a quarter is used.
    await call(said(80_000))
    const other = { role: 'user' as const, content: 'Something else. '.repeat(8_000) }
    await assert.rejects(call(other), Anthropic.RateLimitError, '$0.42 by its bytes, and nothing of it is known')
    const { usage } = await call(said(80_000), { role: 'assistant', content: 'Read.' }, said(48_000))
    assert.ok(usage.input_tokens > 30_000)
  })

  test(`a burst of ${burst} calls on a limit of 10 a minute: ten are answered, the others told when to try again, in their dialect`, async () => {
    await inOneMinute()
    const { openai, apiKey, path, probes } = await hardBudget('burst', {
      limit: '11',
      unit: 'requests',
      window: 'minute',
    })
    const anthropic = new Anthropic({ baseURL: stack.anthropicBaseUrl, apiKey, maxRetries: 0, fetch: patiently })
    const outcomes = await Promise.all(
      Array.from({ length: burst }, async (_, at) => {
        try {
          const messages = [{ role: 'user' as const, content: write(2) }]
          const { response } =
            at % 2 === 0
              ? await openai.chat.completions.create({ model: 'gpt-4o-mini', messages, max_tokens: 5 }).withResponse()
              : await anthropic.messages.create({ model: 'claude-sonnet-4-5', messages, max_tokens: 5 }).withResponse()
          const prefix = at % 2 === 0 ? 'x-ratelimit-limit-requests' : 'anthropic-ratelimit-requests-limit'
          assert.equal(response.headers.get(prefix), '11')
          return 'answered'
        } catch (error) {
          assert.ok(error instanceof OpenAI.RateLimitError || error instanceof Anthropic.RateLimitError, String(error))
          const { headers } = error as { headers: Headers }
          const seconds = Number(headers.get('retry-after'))
          assert.ok(seconds >= 1 && seconds <= 60, `${seconds}`)
          assert.equal(headers.get('x-should-retry'), null)
          const remaining =
            headers.get('x-ratelimit-remaining-requests') ?? headers.get('anthropic-ratelimit-requests-remaining')
          assert.equal(remaining, '0')
          assert.match(error.message, /Rate limit \\?"burst\\?" lets 11 requests a minute pass/)
          return 'refused'
        }
      }),
    )
    // One was answered when it was made; those before the gateway had heard of it count when their events have come.
    const answered = outcomes.filter(outcome => outcome === 'answered').length
    assert.ok(answered <= 10 && answered >= 11 - probes, `${answered} answered, ${probes} before`)
    assert.equal((await admin.call('PATCH', path, { limit: '1000' })).status, 200)
    const retrying = new OpenAI({ baseURL: stack.openaiBaseUrl, apiKey, maxRetries: 5, fetch: patiently })
    await retrying.chat.completions.create({
      model: 'gpt-4o-mini',
      messages: [{ role: 'user', content: 'x' }],
      max_tokens: 1,
    })
  })

  test('a rate limit of requests holds exactly, whatever it is for: a key, a member, a team, an app, a model, a project', async () => {
    const { most, asked } = sized({ small: { most: 2, asked: 5 }, full: { most: 3, asked: 12 } })
    const scopes = await limitedScopes({ unit: 'requests', limit: String(most), window: 'minute' })
    await Promise.all(
      scopes.map(async ({ name, call, passBy }) => {
        const answers = await Promise.all(Array.from({ length: asked }, (_, number) => call(number, write(2))))
        const statuses = answers.map(({ answer }) => answer.status)
        assert.deepEqual(statuses.sort(), [...Array(most).fill(200), ...Array(asked - most).fill(429)], name)
        for (const each of answers) {
          await each.answer.arrayBuffer()
          const { limit, remaining, seconds } = rateIn(each, 'requests')
          assert.equal(limit, String(most), name)
          assertResets(seconds, name)
          if (each.answer.status === 200) continue
          assert.equal(remaining, 0, name)
          assertResets(Number(each.answer.headers.get('retry-after')), name)
          assert.equal(each.answer.headers.get('x-should-retry'), null)
        }
        for (let times = 0; times <= most; times++) assert.equal((await passBy())?.status ?? 200, 200)
      }),
    )
  })

  test('an exact rate limit of tokens lets no more through than it says, and keeps nothing back, whatever it is for', async () => {
    const most = sized({ small: 500, full: 1_000 })
    const scopes = await limitedScopes({ unit: 'tokens', limit: String(most), window: 'minute', hold: 'exact' }, 0)
    await Promise.all(
      scopes.map(async ({ name, call, passBy, budget }) => {
        let told = 0
        // The same call needs more room in one dialect than in the other.
        const refused: string[] = []
        for (let number = 0; refused.length < 4; number++) {
          const each = await call(number, write(50))
          const { dialect, answer } = each
          const { limit, remaining, seconds } = rateIn(each, 'tokens')
          assert.equal(limit, String(most), name)
          assertResets(seconds, name)
          const body = (await answer.json()) as {
            usage?: { total_tokens?: number; input_tokens: number; output_tokens: number }
            error?: { message: string; metadata: { reason: string } }
          }
          if (answer.status === 200) {
            assert.ok(!refused.includes(dialect), `${name}: what was refused once has no room`)
            const { total_tokens, input_tokens, output_tokens } = body.usage ?? { input_tokens: 0, output_tokens: 0 }
            told += total_tokens ?? input_tokens + output_tokens
            continue
          }
          refused.push(dialect)
          assert.deepEqual([answer.status, body.error?.metadata.reason], [429, 'rate_limited'], name)
          assert.match(body.error?.message ?? '', new RegExp(`lets ${most} tokens a minute pass, and they are used`))
          assertResets(Number(answer.headers.get('retry-after')), name)
          assert.equal(remaining, most - told, name)
        }
        // A call here holds 50 tokens of output and at most the bytes of its words and some for their form.
        assert.ok(told <= most && told > most - 200, `${name}: ${told}`)
        await eventually(async () => Number((await budget()).spent) === told)
        assert.equal((await passBy())?.status ?? 200, 200)
      }),
    )
  })

  test('a limit of calls at a time holds exactly, whatever it is for, and has room again when they have ended', async () => {
    const { most, asked } = sized({ small: { most: 2, asked: 4 }, full: { most: 3, asked: 8 } })
    const scopes = await limitedScopes({ unit: 'concurrent', limit: String(most) }, 1)
    const slow = 'Write. [[sim output_tokens=2000 delay_ms=20]]'
    await Promise.all(
      scopes.map(async ({ name, call, passBy }) => {
        const answers = await Promise.all(
          Array.from({ length: asked }, (_, number) => call(number, slow, { stream: true, max_tokens: 2_000 })),
        )
        const running = answers.filter(({ answer }) => answer.status === 200)
        const refused = answers.filter(({ answer }) => answer.status === 429)
        assert.deepEqual([running.length, refused.length], [most, asked - most], name)
        for (const { answer } of refused) {
          const words = new RegExp(`lets ${most} calls at a time pass, and they are used\\. Please try again in 2s`)
          assert.match(await answer.text(), words)
          assert.equal(answer.headers.get('retry-after'), '2')
        }
        assert.equal((await passBy())?.status ?? 200, 200)
        await Promise.all(running.map(({ answer }) => answer.body?.cancel()))
        await eventually(async () => {
          const { answer } = await call(0, write(2))
          await answer.arrayBuffer()
          return answer.status === 200
        })
      }),
    )
  })

  test('a rate limit of tokens ends no stream that runs, and keeps the next calls out', async () => {
    await inOneMinute()
    const { openai } = await hardBudget('tokens', { limit: '3000', unit: 'tokens', window: 'minute', hold: 'paced' })
    const stream = await openai.chat.completions.create({
      model: 'gpt-4o',
      messages: [{ role: 'user', content: 'Write. [[sim output_tokens=4000 delay_ms=1 tokens_per_chunk=20]]' }],
      stream: true,
    })
    let finish: string | null | undefined
    for await (const chunk of stream) finish = chunk.choices[0]?.finish_reason ?? finish
    assert.equal(finish, 'stop')
    const ask = () =>
      openai.chat.completions.create({
        model: 'gpt-4o',
        messages: [{ role: 'user', content: 'x'.repeat(400) }],
        max_tokens: 100,
      })
    const outcome = async () =>
      ask().then(
        () => undefined,
        (error: unknown) => error,
      )
    // What its gateway held ahead of calls is theirs still.
    const error = await eventually(outcome)
    assert.ok(error instanceof OpenAI.RateLimitError, String(error))
    assert.match(error.message, /Rate limit "tokens" lets 3000 tokens a minute pass, and they are used/)
  })

  test('a realtime session holds its next turn ahead: without money its provider begins none, and with money again it does', async t => {
    const { apiKey, path, read } = await hardBudget('spoken', { limit: '3.00' })
    const client = await openSocket(t, '/v1/realtime?model=gpt-realtime', apiKey)
    client.send({
      type: 'session.update',
      session: { type: 'realtime', audio: { input: { turn_detection: { type: 'server_vad' } } } },
    })
    await client.until('session.updated')
    const say = () =>
      client.send({ type: 'input_audio_buffer.append', audio: Buffer.alloc(48 * 1_000).toString('base64') })
    assert.ok(Number((await read()).held) > 1, 'a turn can cost its whole window')
    say()
    await client.until('response.done')
    // The turn that is held already is paid for; the one behind it is not.
    assert.equal((await admin.call('PATCH', path, { limit: '1.00' })).status, 200)
    say()
    await client.until('response.done', 2)
    const [told] = await client.until('error')
    assert.match(told?.error.message ?? '', /Budget "spoken" has too little left/)
    await eventually(
      () => client.lastOf('session.updated')?.session.audio.input.turn_detection.create_response === false,
    )
    say()
    await client.until('input_audio_buffer.committed', 3)
    client.send({ type: 'response.create' })
    await client.until('error', 2)
    assert.equal(client.all('response.created').length, 2)

    assert.equal((await admin.call('PATCH', path, { limit: '5.00' })).status, 200)
    await eventually(
      () => client.lastOf('session.updated')?.session.audio.input.turn_detection.create_response === true,
    )
    say()
    await client.until('response.done', 3)
  })

  test('a realtime turn that holds its money ends by itself when its budget is spent; the next is refused, and let in with money again', async t => {
    const create = (everyMs: number) => ({
      type: 'response.create',
      response: { instructions: `[[sim output_tokens=60 delay_ms=${everyMs}]]` },
    })
    const spend = async (everyMs: number) => {
      const { apiKey, path, read } = await hardBudget('spent while spoken', { limit: '3.00' })
      await eventually(async () => Number((await read()).spent) > 0)
      const client = await openSocket(t, '/v1/realtime?model=gpt-realtime', apiKey)
      client.send(create(everyMs))
      await client.until('response.created')
      const lowered = await admin.call<{ cutoff: { active: boolean } }>('PATCH', path, { limit: '0.000000001' })
      assert.deepEqual([lowered.status, lowered.body.cutoff.active], [200, true])
      return { client, path, isSpoken: client.all('response.done').length > 0 }
    }
    // On a machine that is so slow that the turn has ended by then another one takes longer.
    let spent = await spend(30)
    for (let everyMs = 120; spent.isSpoken && everyMs < 1_000; everyMs *= 4) spent = await spend(everyMs)
    const { client, path, isSpoken } = spent
    assert.ok(!isSpoken, 'the turn runs')
    const [done] = await client.until('response.done')
    assert.equal(done?.response.status, 'completed')
    const [told] = await client.until('error')
    assert.match(told?.error.message ?? '', /out of credits/)
    client.send(create(30))
    await client.until('error', 2)
    assert.deepEqual(
      [client.lastOf('error')?.error.code, client.all('response.created').length, client.socket.readyState],
      ['insufficient_quota', 1, client.socket.OPEN],
    )
    assert.equal((await admin.call('PATCH', path, { limit: '5.00' })).status, 200)
    await eventually(async () => {
      client.send(create(30))
      await new Promise(resolve => setTimeout(resolve, 300))
      return client.all('response.created').length >= 2
    })
  })

  for (const mode of ['soft', 'hard'] as const)
    test(`a realtime session outlives a ${mode} rate limit: the turn that is too much ends or is not begun, and its client is told`, async t => {
      await inOneMinute()
      const hold = mode === 'hard' ? { hold: 'paced' } : { hold: undefined }
      // Calls that only look whether the budget is there yet may count, too: one, or some more on a slow machine.
      const wish = { limit: '6', unit: 'requests', window: 'minute', mode, ...hold }
      const { apiKey } = await hardBudget(`${mode} talk`, wish)
      const client = await openSocket(t, '/v1/realtime?model=gpt-realtime', apiKey)
      client.send({
        type: 'session.update',
        session: { type: 'realtime', audio: { input: { turn_detection: { type: 'server_vad' } } } },
      })
      await client.until('session.updated')
      const say = () =>
        client.send({ type: 'input_audio_buffer.append', audio: Buffer.alloc(48 * 1_000).toString('base64') })
      say()
      await client.until('response.done')
      let told: { error: { message?: string } } | undefined
      await eventually(async () => {
        say()
        await new Promise(resolve => setTimeout(resolve, 300))
        ;[told] = client.all('error')
        return told
      })
      assert.match(told?.error.message ?? '', new RegExp(`Rate limit "${mode} talk" lets 6 requests a minute pass`))
      assert.equal(client.socket.readyState, client.socket.OPEN)
    })

  test('a realtime session has one slot whether a turn runs or not; a turn beside another takes one more, and where there is none nothing else ends', async t => {
    const { apiKey, openai, read } = await hardBudget('slots', { limit: '2', unit: 'concurrent', window: 'total' })
    const client = await openSocket(t, '/v1/realtime?model=gpt-realtime', apiKey)
    client.send({
      type: 'session.update',
      session: { type: 'realtime', audio: { input: { turn_detection: { type: 'server_vad' } } } },
    })
    await client.until('session.updated')
    assert.equal((await read()).held, '1')
    client.send({ type: 'response.create', response: { instructions: '[[sim output_tokens=2000 delay_ms=10]]' } })
    await client.until('response.created')
    const call = (directives: string) =>
      openai.chat.completions.create({
        model: 'gpt-4o-mini',
        messages: [{ role: 'user', content: `Write. [[sim output_tokens=2 ${directives}]]` }],
        max_tokens: 9,
      })
    await call('delay_ms=1')
    const beside = { type: 'response.create', response: { conversation: 'none' } }
    client.send(beside)
    const [told] = await client.until('error')
    assert.match(told?.error.message ?? '', /already has an active response/, 'the provider says so, as it was asked')
    const other = call('first_delay_ms=3500')
    await eventually(async () => (await read()).held === '2')
    client.send(beside)
    const [, refused] = await client.until('error', 2)
    assert.match(refused?.error.message ?? '', /Rate limit "slots" lets 2 calls at a time pass, and they are used/)
    client.send({ type: 'response.cancel' })
    await client.until('response.done')
    await other
    client.send({ type: 'input_audio_buffer.append', audio: Buffer.alloc(48 * 1_000).toString('base64') })
    await client.until('response.done', 2)
    const mayBegin = client.all('session.updated').map(each => each.session.audio.input.turn_detection.create_response)
    assert.ok(!mayBegin.includes(false), 'its provider is never told to begin none')
  })

  test('a call whose hard budget is spent is hung up where the far end goes on: with a second turn, with one that is not cancelled, with sound that is written down', async t => {
    const settings = { path_classes: { realtime_calls: true } }
    const events = new EventFeed(stack)
    t.after(() => events.close())
    const { openai, apiKey, path, read } = await hardBudget('talked past', { limit: '30.00' }, settings)
    const call = async (directives: string, transcription?: { model: string }) => {
      const made = await openai.realtime.calls.create({
        sdp: 'v=0\r\n',
        session: {
          type: 'realtime',
          model: 'gpt-realtime',
          instructions: `[[sim output_tokens=4 ${directives}]]`,
          ...(transcription && { audio: { input: { transcription } } }),
        },
      })
      // What goes between the client and its provider by itself.
      return openSocket(t, `/v1/realtime?call_id=${callIdOf(made)}`, apiKey, stack.simulatorUrl)
    }
    const [asks, hangs, speaks] = await Promise.all([
      call('call_gap_ms=60000'),
      call('call_gap_ms=60000'),
      call('call_turns=1000', { model: 'whisper-1' }),
    ])
    await eventually(async () => Number((await read()).spent) > 0)
    assert.equal((await admin.call('PATCH', path, { limit: '0.000000001' })).status, 200)
    const create = (directives: string) => ({
      type: 'response.create',
      response: { instructions: `[[sim output_tokens=400 ${directives}]]` },
    })
    for (const { lastOf } of [asks, hangs])
      await eventually(() => lastOf('session.updated')?.session.audio.input.turn_detection.create_response === false)
    hangs.send(create('delay_ms=20000'))
    asks.send(create('delay_ms=20'))
    const [crossed] = await asks.until('response.done')
    assert.equal(crossed?.response.status, 'cancelled')
    const cut = await eventually(() => events.all.find(event => event.response_id === crossed?.response.id))
    assert.deepEqual([cut.status, cut.cut_by?.reason, cut.provenance.out_text], ['cut', 'budget_spent', 'measured'])
    asks.send(create('delay_ms=20'))
    await eventually(() => [asks, hangs, speaks].every(({ socket }) => socket.readyState === socket.CLOSED), {
      message: 'all are hung up',
    })
    assert.deepEqual(
      [asks, hangs].map(({ all }) => all('response.created').length),
      [2, 1],
    )
  })

  test('three requests an hour are three requests', async () => {
    const { openai, probes } = await hardBudget('few', { unit: 'requests', limit: 4, window: 'hour' })
    const outcomes = await Promise.allSettled(
      Array.from({ length: 10 }, () =>
        openai.chat.completions.create({
          model: 'gpt-4o-mini',
          messages: [{ role: 'user', content: 'x' }],
          max_tokens: 9,
        }),
      ),
    )
    // One was used to see that the gateway knows the budget; those before it had heard of it count when their events have come.
    const answered = outcomes.filter(({ status }) => status === 'fulfilled').length
    assert.ok(answered <= 3 && answered >= 4 - probes, `${answered} answered, ${probes} before`)
  })

  test('two calls at a time are two: a third waits, and is told to try again', async () => {
    const { openai, read } = await hardBudget('slots', { unit: 'concurrent', limit: 2, window: undefined })
    const call = (seconds: number) =>
      openai.chat.completions.create({
        model: 'gpt-4o-mini',
        messages: [{ role: 'user', content: `Write. [[sim output_tokens=10 first_delay_ms=${seconds * 1000}]]` }],
        max_tokens: 20,
      })
    const slow = [call(4), call(4)]
    await eventually(async () => Number((await read()).held) === 2)
    await assert.rejects(call(0), (error: unknown) => {
      assert.ok(error instanceof OpenAI.RateLimitError)
      assert.equal(error.code, 'rate_limit_exceeded')
      assert.match(
        error.message,
        /Rate limit "slots" lets 2 calls at a time pass, and they are used. Please try again in 2s/,
      )
      return true
    })
    await Promise.all(slow)
    await call(0)
  })

  test('what would have no bound is refused under an exact budget, in words', async () => {
    const { openai, apiKey } = await hardBudget('bounded', { limit: '5.00' })
    await assert.rejects(
      openai.responses.create({ model: 'gpt-4o', input: 'x', tools: [{ type: 'web_search' }] }),
      ({ message, error }: InstanceType<typeof OpenAI.APIError>) => {
        assert.match(
          message,
          /Budget "bounded" holds all that a call can cost before it is sent, and nothing bounds what this one can cost: .*max_tool_calls/,
        )
        const { reason, budget_name, limit } = (error as { metadata: Record<string, unknown> }).metadata
        assert.deepEqual([reason, budget_name, limit], ['budget_not_bounded', 'bounded', '5'])
        return true
      },
    )
    const answer = await fetch(`${stack.openaiBaseUrl}/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
      body: '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"x"}],"service_tier":"\\q"}',
    })
    assert.equal(answer.status, 400)
    assert.match(await answer.text(), /The body is not valid JSON/)
  })
})
