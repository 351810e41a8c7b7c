import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import { openBucket } from '@sluice/bus'
import { Cutoff, cutoffKey } from '@sluice/contracts'
import { busOf, eventually } from '@sluice/test-env'
import OpenAI from 'openai'
import { adminStop } from '../admin-stop.ts'
import { type GatewayStack, sseData, type TestProject } from '../gateway-stack.ts'

const slow = 'delay_ms=30 output_tokens=3000'
const model = 'gpt-5.4-mini'
const claude = { model: 'claude-sonnet-4-6', max_tokens: 4096 } as const
const say = (text: string) => [{ role: 'user' as const, content: text }]

/** What became of a call: what its client's library made of it, or what the library raised. */
type Outcome<T> = Promise<{ value: T; error?: never } | { value?: never; error: unknown }>
function outcomeOf<T>(promise: Promise<T>): Outcome<T> {
  return promise.then(
    value => ({ value }),
    (error: unknown) => ({ error }),
  )
}
async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const item of items) list.push(item)
  return list
}

/** Running calls end cleanly in their dialect's terms when money or permission is gone, and the next call is refused. */
export function cutsAreClean(gateway: GatewayStack): void {
  /** Every kind of stream under way at once, as the official clients and a plain one read them. */
  function startCalls(apiKey: string) {
    const openai = gateway.openai(apiKey)
    const anthropic = gateway.anthropic(apiKey)
    const chat = { model, messages: say(`[[sim ${slow}]]`), stream: true as const }
    const chatTool = {
      ...chat,
      messages: say('[[sim tool=look tool_tokens=3000 delay_ms=30]]'),
      tools: [{ type: 'function' as const, function: { name: 'look', parameters: { type: 'object' } } }],
    }
    const raw = (path: string, body: unknown) => gateway.post(path, apiKey, body).then(answer => answer.text())
    return {
      chat: outcomeOf(openai.chat.completions.create({ ...chat, stream_options: { include_usage: true } }).then(all)),
      chatHelper: outcomeOf(openai.chat.completions.stream(chat).finalChatCompletion()),
      chatTwoChoices: outcomeOf(openai.chat.completions.create({ ...chat, n: 2 }).then(all)),
      chatRaw: outcomeOf(raw('/v1/chat/completions', chat)),
      chatTool: outcomeOf(openai.chat.completions.create(chatTool).then(all)),
      responses: outcomeOf(openai.responses.create({ model, input: `[[sim ${slow}]]`, stream: true }).then(all)),
      responsesHelper: outcomeOf(openai.responses.stream({ model, input: `[[sim ${slow}]]` }).finalResponse()),
      responsesTool: outcomeOf(
        openai.responses
          .create({
            model,
            stream: true,
            input: '[[sim tool=look tool_tokens=3000 delay_ms=30]]',
            tools: [{ type: 'function', name: 'look', parameters: { type: 'object' }, strict: false }],
          })
          .then(all),
      ),
      messages: outcomeOf(anthropic.messages.stream({ ...claude, messages: say(`[[sim ${slow}]]`) }).finalMessage()),
      messagesThinking: outcomeOf(
        anthropic.messages
          .stream({
            ...claude,
            thinking: { type: 'enabled', budget_tokens: 3000 },
            messages: say('[[sim reasoning=3000 delay_ms=30]]'),
          })
          .finalMessage(),
      ),
      messagesTool: outcomeOf(
        anthropic.messages
          .stream({
            ...claude,
            messages: say('[[sim tool=look tool_tokens=3000 delay_ms=30]]'),
            tools: [{ name: 'look', input_schema: { type: 'object' } }],
          })
          .finalMessage(),
      ),
      chatWhole: outcomeOf(openai.chat.completions.create({ ...chat, stream: false })),
      messagesWhole: outcomeOf(anthropic.messages.create({ ...claude, messages: say(`[[sim ${slow}]]`) })),
    }
  }
  type Calls = { [Name in keyof ReturnType<typeof startCalls>]: Awaited<ReturnType<typeof startCalls>[Name]> }

  /** Starts the calls, waits until the provider generates all of them, cuts, and waits for their ends. */
  async function cutAll(project: TestProject, cut: () => Promise<unknown>): Promise<Calls> {
    const calls = startCalls(project.apiKey)
    const count = Object.keys(calls).length
    await eventually(
      async () => {
        const bills = await gateway.billsOf(project)
        return bills.length === count && bills.every(({ started_at_ms }) => Date.now() - started_at_ms > 150)
      },
      { intervalMs: 25 },
    )
    await cut()
    const ended = await Promise.all(Object.entries(calls).map(async ([name, call]) => [name, await call] as const))
    return Object.fromEntries(ended) as Calls
  }

  suite('money gone', () => {
    let project: TestProject
    let calls: Calls
    let cutAtMs = 0
    before(async () => {
      project = await gateway.newProject({ ownCredential: true })
      await gateway.manage('POST', `/accounts/projects/${project.projectId}/budgets`, {
        name: 'Tiny',
        unit: 'usd',
        limit: '0.5',
        window: 'month',
      })
      // The budget is at the gateway when answers name it.
      await eventually(async () => {
        const body = { model, messages: say('[[sim output_tokens=1]]') }
        const answer = await gateway.post('/v1/chat/completions', project.apiKey, body)
        await answer.arrayBuffer()
        return answer.headers.get('sluice-budget-name') === 'Tiny'
      })
      const warmUps = (await gateway.billsOf(project)).length
      const all = gateway.billsOf.bind(gateway)
      gateway.billsOf = async which => (await all(which)).slice(which === project ? warmUps : 0)
      calls = await cutAll(project, async () => {
        const body = { model, messages: say('[[sim input_tokens=1000000 output_tokens=1]]') }
        const answer = await gateway.post('/v1/chat/completions', project.apiKey, body)
        assert.equal(answer.status, 200)
        await answer.arrayBuffer()
        cutAtMs = Date.now()
      })
    })

    test('chat ends with "length", and with the usage chunk where it was asked for', () => {
      assert.equal(calls.chat.error, undefined)
      const chunks = calls.chat.value ?? []
      const [finish, usage] = chunks.slice(-2)
      assert.deepEqual(finish?.choices[0]?.finish_reason, 'length')
      assert.deepEqual(usage?.choices, [])
      assert.ok((usage?.usage?.completion_tokens ?? 0) > 0)
      assert.equal(new Set(chunks.map(chunk => chunk.id)).size, 1)
      assert.equal(calls.chatHelper.value?.choices[0]?.finish_reason, 'length')
      assert.match(calls.chatHelper.value?.choices[0]?.message.content ?? '', /^Sim:/)
      const raw = calls.chatRaw.value ?? ''
      assert.match(raw, /data: \[DONE\]\n\n$/)
      assert.deepEqual(
        sseData(raw).filter(chunk => chunk.usage),
        [],
        'no usage for a client that did not ask',
      )
    })

    test('every open choice of a chat is closed', () => {
      const finished = (calls.chatTwoChoices.value ?? [])
        .flatMap(chunk => chunk.choices)
        .filter(choice => choice.finish_reason)
      assert.deepEqual(finished.map(choice => [choice.index, choice.finish_reason]).sort(), [
        [0, 'length'],
        [1, 'length'],
      ])
    })

    test('responses end as incomplete with everything that was said', () => {
      const events = calls.responses.value ?? []
      const last = events.at(-1)
      assert.equal(last?.type, 'response.incomplete')
      const said = events.map(event => (event.type === 'response.output_text.delta' ? event.delta : '')).join('')
      assert.equal(textOf(last.response), said)
      assert.deepEqual(last.response.incomplete_details, { reason: 'max_output_tokens' })
      assert.ok((last.response.usage?.output_tokens ?? 0) > 0)
      const numbers = events.map(event => event.sequence_number)
      assert.deepEqual(
        numbers,
        numbers.map((_, index) => index),
        'numbered without a gap',
      )
      assert.equal(calls.responsesHelper.error, undefined)
      assert.equal(calls.responsesHelper.value?.status, 'incomplete')
    })

    test('messages end with "max_tokens", in text and in thinking', () => {
      assert.equal(calls.messages.error, undefined)
      assert.equal(calls.messages.value?.stop_reason, 'max_tokens')
      assert.ok((calls.messages.value?.usage.output_tokens ?? 0) > 1)
      assert.equal(calls.messagesThinking.error, undefined)
      assert.equal(calls.messagesThinking.value?.stop_reason, 'max_tokens')
      assert.equal(calls.messagesThinking.value?.content[0]?.type, 'thinking')
    })

    test('a tool call half out is never closed as if it were whole: the official clients raise', () => {
      assert.ok(calls.chatTool.error instanceof OpenAI.APIError, String(calls.chatTool.error))
      assert.equal(calls.chatTool.error.code, 'insufficient_quota')
      assert.ok(calls.messagesTool.error instanceof Anthropic.APIError, String(calls.messagesTool.error))
      assert.match(String(calls.messagesTool.error), /billing_error/)
      const last = calls.responsesTool.value?.at(-1)
      assert.equal(last?.type, 'response.failed')
      assert.equal(last.response.error?.code, 'insufficient_quota')
    })

    test('a call that is not streamed gets the refusal as its status', () => {
      for (const { error } of [calls.chatWhole, calls.messagesWhole]) {
        assert.ok(error instanceof OpenAI.RateLimitError || error instanceof Anthropic.RateLimitError, String(error))
        assert.match(error.message, /Budget \\?"Tiny\\?" is spent/)
        assert.equal(error.headers?.get('x-should-retry'), 'false')
      }
    })

    test('the provider was stopped in the same moment, and what it had generated is settled, once a call', async t => {
      const bills = await eventually(async () => {
        const found = await gateway.billsOf(project)
        return found.every(({ ended }) => ended !== 'running') && found
      })
      const aborted = bills.filter(({ ended }) => ended === 'aborted')
      assert.equal(aborted.length, Object.keys(calls).length)
      const lastSeen = Math.max(...aborted.map(bill => bill.abort_seen_at_ms ?? Infinity))
      t.diagnostic(`last provider stopped ${lastSeen - cutAtMs} ms after the call that crossed the limit was answered`)
      const events = await eventually(() => {
        const found = gateway.eventsOf(project.projectId).filter(({ status }) => status === 'cut')
        return found.length >= aborted.length && found
      })
      assert.equal(events.length, aborted.length)
      for (const event of events) {
        assert.deepEqual([event.cut_by?.reason, event.error_code], ['budget_spent', undefined])
        assert.ok(event.cost_nano_usd > 0, event.endpoint)
      }
    })

    test('the next call is refused at once in the words that its client does not retry', async t => {
      let requests = 0
      const counting: typeof fetch = (input, init) => {
        requests++
        return fetch(input, init)
      }
      const { apiKey } = project
      const openai = new OpenAI({ apiKey, baseURL: gateway.stack.openaiBaseUrl, fetch: counting })
      const anthropic = new Anthropic({ apiKey, baseURL: gateway.stack.anthropicBaseUrl, fetch: counting })
      const since = performance.now()
      const refused = await Promise.all([
        outcomeOf(openai.chat.completions.create({ model, messages: say('x') })),
        outcomeOf(openai.responses.create({ model, input: 'x', stream: true })),
        outcomeOf(anthropic.messages.create({ ...claude, messages: say('x') })),
      ])
      t.diagnostic(`three refusals in ${Math.round(performance.now() - since)} ms (promise: 1000)`)
      assert.equal(requests, 3, 'no retries')
      const [first, second, third] = refused.map(({ error }) => error)
      for (const error of [first, second]) {
        assert.ok(error instanceof OpenAI.RateLimitError, String(error))
        assert.deepEqual([error.code, error.type], ['insufficient_quota', 'insufficient_quota'])
      }
      assert.ok(third instanceof Anthropic.RateLimitError, String(third))
      assert.match(third.message, /billing_error/)

      const ask = (userAgent: string) =>
        gateway.post('/v1/responses', apiKey, { model, input: 'x' }, { headers: { 'user-agent': userAgent } })
      const codex = await ask('codex_cli_rs/0.169')
      const { error } = (await codex.json()) as { error: { type: string; resets_at: number } }
      assert.deepEqual([codex.status, error.type, typeof error.resets_at], [429, 'usage_limit_reached', 'number'])
      const unknown = await ask('someone/1')
      assert.equal(unknown.status, 402)
      assert.equal(unknown.headers.get('retry-after'), null)
      assert.match(unknown.headers.get('x-meshagent-error-message') ?? '', /out of credits/)
      const { metadata } = ((await unknown.json()) as { error: { metadata: Record<string, unknown> } }).error
      assert.deepEqual([metadata.reason, metadata.budget_name, metadata.limit], ['budget_spent', 'Tiny', '0.5'])
    })

    test('counting tokens stays open when money is gone', async () => {
      const { input_tokens } = await gateway
        .anthropic(project.apiKey)
        .messages.countTokens({ model: claude.model, messages: say('x') })
      assert.ok(input_tokens > 0)
    })
  })

  test('an admin’s stop, pushed, ends running calls with an error and refuses the next', async () => {
    const project = await gateway.newProject({ ownCredential: true })
    const path = `/accounts/projects/${project.projectId}/budgets`
    const { body: budget } = await gateway.manage('POST', path, {
      name: 'All',
      unit: 'usd',
      limit: '100',
      window: 'total',
    })
    await eventually(async () => {
      const body = { model: claude.model, messages: say('x') }
      const answer = await gateway.post('/v1/chat/completions', project.apiKey, { ...body, model })
      await answer.arrayBuffer()
      return answer.headers.has('sluice-budget-name')
    })
    const openai = gateway.openai(project.apiKey)
    const anthropic = gateway.anthropic(project.apiKey)
    const stream = await openai.chat.completions.create({ model, stream: true, messages: say(`[[sim ${slow}]]`) })
    const messages = anthropic.messages.stream({ ...claude, messages: say(`[[sim ${slow}]]`) })
    const [chatEnd, messagesEnd] = [outcomeOf(all(stream)), outcomeOf(messages.finalMessage())]
    await messages.emitted('text')
    const stop = adminStop(project.projectId, budget.id, { version: 1, active: true })
    const bus = busOf(gateway.stack.natsAdmin)
    await (await openBucket(bus, 'cutoffs', Cutoff)).put(cutoffKey(budget.id, ''), stop)
    const [chatError, messagesError] = [(await chatEnd).error, (await messagesEnd).error]
    assert.ok(chatError instanceof OpenAI.APIError, String(chatError))
    assert.deepEqual([chatError.code, chatError.type], ['stopped_by_admin', 'permission_error'])
    assert.ok(messagesError instanceof Anthropic.APIError, String(messagesError))
    assert.match(String(messagesError), /permission_error/)
    const next = await outcomeOf(openai.responses.create({ model, input: 'x' }))
    assert.ok(next.error instanceof OpenAI.PermissionDeniedError, String(next.error))
  })

  test('an admin stops a team’s calls of one app: these end with the reason, others go on, and all do when it is lifted', async () => {
    const project = await gateway.newProject({ ownCredential: true })
    const path = `/accounts/projects/${project.projectId}`
    const make = async (name: string) => {
      const team = await gateway.manage('POST', `${path}/teams`, { name })
      const key = await gateway.manage('POST', `${path}/api-keys`, { name, team_id: team.body.id })
      await eventually(async () => {
        const answer = await gateway.post('/v1/chat/completions', key.body.value, { model, messages: say('x') })
        await answer.arrayBuffer()
        return answer.status === 200
      })
      return { id: team.body.id, key: key.body.value }
    }
    const [red, blue] = await Promise.all([make('red'), make('blue')])
    const begin = (key: string, userAgent: string, orders = 'output_tokens=60 delay_ms=30') =>
      gateway
        .openai(key)
        .chat.completions.create(
          { model, stream: true, messages: say(`[[sim ${orders}]]`) },
          { headers: { 'user-agent': userAgent } },
        )
    const streams = await Promise.all([
      begin(red.key, 'opencode/1', slow),
      begin(red.key, 'aider/1'),
      begin(blue.key, 'opencode/1'),
    ])
    const ends = streams.map(stream => outcomeOf(all(stream)))
    const reason = 'It runs wild, Ada looks at it.'
    const stop = await gateway.manage('POST', `${path}/stops`, {
      scope: { team: red.id, app: 'opencode' },
      reason,
    })
    assert.equal(stop.status, 201, JSON.stringify(stop.body))
    const [stopped, otherApp, otherTeam] = await Promise.all(ends)
    assert.ok(stopped?.error instanceof OpenAI.APIError, String(stopped?.error))
    assert.equal(stopped.error.code, 'stopped_by_admin')
    assert.match(stopped.error.message, /stopped by an admin: "It runs wild, Ada looks at it\."/)
    assert.ok(otherApp?.value && otherTeam?.value, 'neither another app of the team nor the app of another team')
    const next = await outcomeOf(begin(red.key, 'opencode/1'))
    assert.ok(next.error instanceof OpenAI.PermissionDeniedError, String(next.error))
    const listed = async (query = '') => (await gateway.manage('GET', `${path}/stops${query}`)).body.stops
    assert.deepEqual(
      (await listed()).map((each: { id: string }) => each.id),
      [stop.body.id],
    )
    assert.equal((await gateway.manage('DELETE', `${path}/stops/${stop.body.id}`)).status, 204)
    await eventually(async () => (await outcomeOf(begin(red.key, 'opencode/1').then(all))).value)
    assert.deepEqual(await listed(), [])
    assert.notEqual((await listed('?lifted=true'))[0]?.lifted_at, null)
  })

  suite('a revoked key', () => {
    let project: TestProject
    let calls: Calls
    before(async () => {
      project = await gateway.newProject({ ownCredential: true })
      calls = await cutAll(project, () =>
        gateway.manage('DELETE', `/accounts/projects/${project.projectId}/api-keys/${project.keyId}`),
      )
    })

    test('its running streams end with an error that the official clients raise', () => {
      for (const name of ['chat', 'chatHelper', 'chatTwoChoices', 'chatTool'] as const) {
        const { error } = calls[name]
        assert.ok(error instanceof OpenAI.OpenAIError, `${name}: ${error}`)
      }
      assert.match(String(calls.chat.error), /has been revoked/)
      // The client's word for a failed response is its status, not an exception.
      assert.equal(calls.responsesHelper.value?.status, 'failed')
      for (const name of ['responses', 'responsesTool'] as const)
        assert.equal(calls[name].value?.at(-1)?.type, 'response.failed', name)
      for (const name of ['messages', 'messagesThinking', 'messagesTool'] as const) {
        const { error } = calls[name]
        assert.ok(error instanceof Anthropic.AnthropicError, `${name}: ${error}`)
        assert.match(String(error), /authentication_error/)
      }
    })

    test('its calls that are not streamed get 401, and so does the next call', async () => {
      assert.ok(calls.chatWhole.error instanceof OpenAI.AuthenticationError, String(calls.chatWhole.error))
      assert.ok(calls.messagesWhole.error instanceof Anthropic.AuthenticationError, String(calls.messagesWhole.error))
      const next = await outcomeOf(gateway.openai(project.apiKey).responses.create({ model, input: 'x' }))
      assert.ok(next.error instanceof OpenAI.AuthenticationError, String(next.error))
    })

    test('its providers were stopped, and every call has its event', async () => {
      const bills = await eventually(async () => {
        const found = await gateway.billsOf(project)
        return found.every(({ ended }) => ended === 'aborted') && found
      })
      const events = await eventually(() => {
        const found = gateway.eventsOf(project.projectId)
        return found.length >= bills.length && found
      })
      assert.deepEqual(
        events.map(event => [event.status, event.cut_by?.reason]),
        events.map(() => ['cut', 'credential_revoked']),
      )
      assert.equal(events.length, bills.length)
    })
  })
}

function textOf(response: OpenAI.Responses.Response): string {
  return response.output
    .flatMap(item => (item.type === 'message' ? item.content : []))
    .map(part => (part.type === 'output_text' ? part.text : ''))
    .join('')
}
