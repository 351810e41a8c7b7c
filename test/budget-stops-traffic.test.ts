import assert from 'node:assert/strict'
import { once } from 'node:events'
import { suite, test } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import { eventually } from '@sluice/test-env'
import OpenAI from 'openai'
import WebSocket from 'ws'
import { storyStack } from './story-stack.ts'

const { stack, admin } = await storyStack()

/** A key of its own with a $0.01 budget on it: each story has its own money. */
async function keyWithBudget(name: string): Promise<{ key: string; budgetId: string }> {
  const { body: made } = await admin.call<{ id: string; value: string }>('POST', `${admin.project}/api-keys`, {
    name,
    description: '',
  })
  const { status, body: budget } = await admin.call<{ id: string }>('POST', `${admin.project}/budgets`, {
    name,
    scope: { key: made.id },
    unit: 'usd',
    limit: '0.01',
    window: 'day',
    mode: 'soft',
  })
  assert.equal(status, 201, JSON.stringify(budget))
  const openai = new OpenAI({ baseURL: stack.openaiBaseUrl, apiKey: made.value, maxRetries: 0 })
  // In force when the budget shows in the answer's headers.
  await eventually(async () => {
    const { response } = await openai.chat.completions
      .create({ model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'x' }] })
      .withResponse()
    assert.equal(response.headers.get('sluice-budget-name'), name)
    assert.equal(response.headers.get('sluice-budget-limit'), '0.01')
    return true
  })
  return { key: made.value, budgetId: budget.id }
}

/** What a client sends, counted: one that tries again sends twice. */
function countedFetch() {
  const sent = { count: 0 }
  const counted: typeof fetch = (...request) => {
    sent.count += 1
    return fetch(...request)
  }
  return { sent, counted }
}

/** About 1.5 cents of output. */
const dear = 'Write. [[sim output_tokens=1000]]'
/** Runs for 30 seconds unless somebody ends it. */
const slow = 'Write. [[sim output_tokens=1500 delay_ms=20 tokens_per_chunk=1]]'

suite('a budget that is spent', { concurrency: 4 }, () => {
  test('OpenAI chat: one settlement crosses the budget, a running stream is ended cleanly, the next call is refused at once and not retried', async () => {
    const { key } = await keyWithBudget('chat')
    const { sent, counted } = countedFetch()
    const openai = new OpenAI({ baseURL: stack.openaiBaseUrl, apiKey: key, fetch: counted })
    const stream = await openai.chat.completions.create({
      model: 'gpt-5.4',
      messages: [{ role: 'user', content: slow }],
      stream: true,
      stream_options: { include_usage: true },
    })
    let finish: string | null | undefined
    let usage: OpenAI.CompletionUsage | undefined | null
    let text = ''
    let crossedAt = 0
    for await (const chunk of stream) {
      if (crossedAt === 0) {
        await openai.chat.completions.create({ model: 'gpt-5.4', messages: [{ role: 'user', content: dear }] })
        crossedAt = performance.now()
      }
      text += chunk.choices[0]?.delta?.content ?? ''
      finish = chunk.choices[0]?.finish_reason ?? finish
      usage = chunk.usage ?? usage
    }
    console.log(`settlement → stream ended: ${Math.round(performance.now() - crossedAt)} ms`)
    assert.equal(finish, 'length', 'a soft ending raises nothing and says that there was more')
    assert.ok(text.length < 6000)
    assert.ok(usage && usage.completion_tokens > 0 && usage.completion_tokens < 1500)

    const asked = sent.count
    await assert.rejects(
      openai.chat.completions.create({ model: 'gpt-5.4', messages: [{ role: 'user', content: 'again' }] }),
      (error: unknown) => {
        assert.ok(error instanceof OpenAI.RateLimitError)
        assert.equal(error.code, 'insufficient_quota')
        assert.match(error.message, /Budget "chat" is spent: \$0\.\d+ of \$0\.01 \(day\)/)
        return true
      },
    )
    assert.equal(sent.count, asked + 1, 'refused, and not tried again')
  })

  test('OpenAI Responses: the running stream ends as incomplete, with what was said', async () => {
    const { key } = await keyWithBudget('responses')
    const openai = new OpenAI({ baseURL: stack.openaiBaseUrl, apiKey: key })
    const stream = await openai.responses.create({ model: 'gpt-5.4', input: slow, stream: true })
    let said = ''
    let last: OpenAI.Responses.ResponseStreamEvent | undefined
    for await (const event of stream) {
      if (event.type === 'response.output_text.delta') {
        if (said === '') await openai.responses.create({ model: 'gpt-5.4', input: dear })
        said += event.delta
      }
      last = event
    }
    assert.equal(last?.type, 'response.incomplete')
    assert.equal(last.response.incomplete_details?.reason, 'max_output_tokens')
    const [item] = last.response.output
    assert.ok(item?.type === 'message' && item.content[0]?.type === 'output_text')
    assert.equal(item.content[0].text, said)
    await assert.rejects(openai.responses.create({ model: 'gpt-5.4', input: 'again' }), OpenAI.RateLimitError)
  })

  test('Anthropic messages: the running stream ends with max_tokens, the next call is refused at once and not retried', async () => {
    const { key } = await keyWithBudget('messages')
    const { sent, counted } = countedFetch()
    const anthropic = new Anthropic({ baseURL: stack.anthropicBaseUrl, apiKey: key, fetch: counted })
    const stream = anthropic.messages.stream({
      model: 'claude-sonnet-4-6',
      max_tokens: 4000,
      messages: [{ role: 'user', content: slow }],
    })
    let crossed: Promise<unknown> | undefined
    stream.on('text', () => {
      crossed ??= anthropic.messages.create({
        model: 'claude-sonnet-4-6',
        max_tokens: 4000,
        messages: [{ role: 'user', content: dear }],
      })
    })
    const message = await stream.finalMessage()
    await crossed
    assert.equal(message.stop_reason, 'max_tokens')
    assert.ok(message.usage.output_tokens > 0 && message.usage.output_tokens < 1500)
    const asked = sent.count
    await assert.rejects(
      anthropic.messages.create({
        model: 'claude-sonnet-4-6',
        max_tokens: 10,
        messages: [{ role: 'user', content: 'again' }],
      }),
      (error: unknown) => {
        assert.ok(error instanceof Anthropic.RateLimitError)
        assert.match(error.message, /billing_error/)
        return true
      },
    )
    assert.equal(sent.count, asked + 1, 'refused, and not tried again')
    // Counting tokens costs nothing and is never refused for money.
    assert.ok(
      (await anthropic.messages.countTokens({ model: 'claude-sonnet-4-6', messages: [{ role: 'user', content: 'x' }] }))
        .input_tokens > 0,
    )
  })

  test('a call that is not streamed and still runs gets the refusal as its status', async () => {
    const { key } = await keyWithBudget('plain')
    const openai = new OpenAI({ baseURL: stack.openaiBaseUrl, apiKey: key, maxRetries: 0 })
    const running = openai.chat.completions.create({ model: 'gpt-5.4', messages: [{ role: 'user', content: slow }] })
    const refused = assert.rejects(running, OpenAI.RateLimitError)
    await openai.chat.completions.create({ model: 'gpt-5.4', messages: [{ role: 'user', content: dear }] })
    await refused
  })

  test('an unknown client reads 402 and when the money comes back; a raised limit lets it go on', async () => {
    const { key, budgetId } = await keyWithBudget('raise')
    const call = () =>
      fetch(`${stack.openaiBaseUrl}/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'gpt-5.4', messages: [{ role: 'user', content: dear }] }),
      })
    assert.equal((await call()).status, 200)
    const refused = await eventually(async () => {
      const answer = await call()
      assert.equal(answer.status, 402)
      return answer
    })
    assert.equal(refused.headers.get('retry-after'), null)
    assert.match(refused.headers.get('x-meshagent-error-message') ?? '', /out of credits/)
    const { error } = (await refused.json()) as {
      error: { code: string; metadata: { resets_at: string; budget_id: string } }
    }
    assert.equal(error.code, 'insufficient_quota')
    assert.equal(error.metadata.budget_id, budgetId)
    assert.equal(new Date(error.metadata.resets_at).getUTCHours(), 0)

    const { status } = await admin.call('PATCH', `${admin.project}/budgets/${budgetId}`, { limit: '1' })
    assert.equal(status, 200)
    await eventually(async () => (await call()).status === 200)
  })

  test('before the wall each agent’s own gauge shows it: Claude Code by its headers, Codex by its own and on its socket, nobody else', async t => {
    const { key } = await keyWithBudget('gauge')
    const post = async (path: string, agent: string, body: object) => {
      const answer = await fetch(`${stack.url}${path}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', 'user-agent': agent },
        body: JSON.stringify(body),
      })
      assert.equal(answer.status, 200, await answer.text())
      return answer.headers
    }
    const messages = [{ role: 'user', content: 'x' }]
    const [claudeCode, codex] = ['claude-cli/2.1.0 (external, cli)', 'codex_cli_rs/0.169.0']
    // About 0.85 of a cent.
    const most = [{ role: 'user', content: 'Write. [[sim output_tokens=560]]' }]
    await post('/openai/v1/chat/completions', 'any', { model: 'gpt-5.4', messages: most })
    const ask = () => post('/anthropic/v1/messages', claudeCode, { model: 'claude-haiku-4-5', max_tokens: 1, messages })
    const told = await eventually(async () => {
      const headers = await ask()
      return Number(headers.get('anthropic-ratelimit-unified-5h-utilization')) > 0.75 && headers
    })
    const gauge = (name: string) => told.get(`anthropic-ratelimit-unified-${name}`)
    const spent = Number(told.get('sluice-budget-spent')) / 0.01
    assert.ok(Math.abs(Number(gauge('5h-utilization')) - spent) < 0.001, `${gauge('5h-utilization')}: ${spent}`)
    assert.deepEqual([gauge('status'), gauge('representative-claim')], ['allowed_warning', 'five_hour'])
    assert.equal(Number(gauge('reset')) * 1_000, Date.parse(told.get('sluice-budget-reset') ?? ''))

    const headers = await post('/openai/v1/responses', codex, { model: 'gpt-4o-mini', input: 'x' })
    const percent = Number(headers.get('x-codex-primary-used-percent'))
    assert.ok(percent >= 75 && percent < 95, `${percent}`)
    assert.equal(headers.get('x-codex-primary-window-minutes'), '1440')
    assert.equal(headers.get('x-codex-primary-reset-at'), gauge('reset'))
    const socket = new WebSocket(`${stack.url.replace('http', 'ws')}/openai/v1/responses`, {
      headers: { authorization: `Bearer ${key}`, 'user-agent': codex },
    })
    t.after(() => socket.terminate())
    await once(socket, 'open')
    socket.send(JSON.stringify({ type: 'response.create', model: 'gpt-4o-mini', input: 'x' }))
    const [data] = await once(socket, 'message')
    const event = JSON.parse(String(data))
    assert.equal(event.type, 'codex.rate_limits')
    assert.ok(event.rate_limits.primary.used_percent >= percent, String(data))

    const others = await post('/openai/v1/chat/completions', 'any', { model: 'gpt-4o-mini', messages })
    assert.deepEqual(
      [...others.keys()].filter(name => /^x-codex-|-unified-/.test(name)),
      [],
    )
  })
})
