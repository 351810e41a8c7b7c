import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, test } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import { eventually } from '@sluice/test-env'
import OpenAI from 'openai'
import { Webhook } from 'standardwebhooks'
import { newProject } from './new-project.ts'
import { storyStack } from './story-stack.ts'

const { stack, admin } = await storyStack()

/** A project of its own, with both SDKs; what they send is counted. */
async function newClients() {
  const { projectId, apiKey } = await newProject(stack, admin, {})
  const sent = { count: 0 }
  const counted: typeof fetch = (...request) => {
    sent.count += 1
    return fetch(...request)
  }
  const openai = new OpenAI({ baseURL: stack.openaiBaseUrl, apiKey, fetch: counted })
  const anthropic = new Anthropic({ baseURL: stack.anthropicBaseUrl, apiKey, fetch: counted })
  const say = (outputTokens: number) =>
    openai.chat.completions.create({
      model: 'gpt-5.4',
      messages: [{ role: 'user', content: `Write. [[sim output_tokens=${outputTokens}]]` }],
    })
  return { path: `/accounts/projects/${projectId}`, openai, anthropic, sent, say }
}

test('calls that reach a threshold of their budget: the webhook hears of it once, under a signature that holds', async () => {
  const heard: { headers: Record<string, string>; body: string }[] = []
  const receiver = createServer((request, response) => {
    let body = ''
    request.on('data', chunk => {
      body += chunk
    })
    request.on('end', () => {
      heard.push({ headers: request.headers as Record<string, string>, body })
      response.writeHead(204).end()
    })
  })
  await new Promise<void>(resolve => receiver.listen(0, '127.0.0.1', resolve))
  after(() => receiver.close())
  const { path, say } = await newClients()
  const { body: destination } = await admin.call<{ secret: string }>('POST', `${path}/budgets/alert-destinations`, {
    kind: 'webhook',
    name: 'Hook',
    url: `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`,
  })
  const { body: budget } = await admin.call<{ id: string }>('POST', `${path}/budgets`, {
    name: 'Told of',
    unit: 'usd',
    limit: '0.05',
    window: 'month',
    mode: 'hard',
    thresholds: [20, 40, 90],
  })
  await eventually(async () => {
    const { headers } = await say(10).asResponse()
    return headers.get('sluice-budget-name') === 'Told of'
  })
  // About 3 of 5 cents, in two calls.
  await say(1_000)
  await say(1_000)
  await eventually(() => heard.length >= 1)
  const events = heard.map(({ headers, body }) => new Webhook(destination.secret).verify(body, headers)) as {
    type: string
    data: { budget_id: string; thresholds: number[] }
  }[]
  await eventually(async () => {
    const { body } = await admin.call<{ fired: { threshold: number }[] }>('GET', `${path}/budgets/${budget.id}`)
    return body.fired.length === 2
  })
  await eventually(async () => {
    const { body } = await admin.call<{ alerts: { deliveries: { state: string }[] }[] }>(
      'GET',
      `${path}/budgets/alerts`,
    )
    return body.alerts.every(({ deliveries }) => deliveries.every(({ state }) => state === 'delivered'))
  })
  const told = heard.flatMap(({ body }) => (JSON.parse(body) as { data: { thresholds: number[] } }).data.thresholds)
  assert.deepEqual([told, events[0]?.data.budget_id], [[20, 40], budget.id])
})

test('a prepaid project without money: both SDKs are refused at once and not retried, counting goes on, a credit lets them go on', async () => {
  const { path, openai, anthropic, sent, say } = await newClients()
  const credit = (amount: string) => admin.call('POST', `${path}/credits`, { amount, reason: 'Paid in advance' })
  const ask = () =>
    anthropic.messages.create({
      model: 'claude-sonnet-4-6',
      max_tokens: 10,
      messages: [{ role: 'user', content: 'x' }],
    })
  await say(10)
  assert.equal((await admin.call('PATCH', `${path}/balance`, { prepaid: true })).status, 204)
  await eventually(() =>
    say(10).then(
      () => false,
      () => true,
    ),
  )
  const asked = sent.count
  const isOutOfCredits = (error: unknown) => {
    assert.ok(error instanceof OpenAI.APIError || error instanceof Anthropic.APIError)
    assert.equal(error.status, 402)
    assert.match(error.message, /out of credits/)
    return true
  }
  await assert.rejects(say(10), isOutOfCredits)
  await assert.rejects(ask(), isOutOfCredits)
  assert.equal(sent.count, asked + 2, 'refused, and not tried again')
  const message = { model: 'claude-sonnet-4-6', messages: [{ role: 'user' as const, content: 'x' }] }
  assert.ok((await anthropic.messages.countTokens(message)).input_tokens > 0)

  // Less than the two calls below cost.
  assert.equal((await credit('0.02')).status, 201)
  await eventually(() =>
    ask().then(
      () => true,
      () => false,
    ),
  )
  const stream = await openai.chat.completions.create({
    model: 'gpt-5.4',
    messages: [{ role: 'user', content: 'Write. [[sim output_tokens=1500 delay_ms=20 tokens_per_chunk=1]]' }],
    stream: true,
  })
  let finish: string | null | undefined
  let chunks = 0
  for await (const chunk of stream) {
    if (chunks++ === 0) void say(1_500)
    finish = chunk.choices[0]?.finish_reason ?? finish
  }
  assert.equal(finish, 'length', 'what runs ends softly')
  assert.ok(chunks < 1_000)
  await assert.rejects(say(10), isOutOfCredits)
  const { body } = await admin.call<{ exhausted: boolean; balance: number }>('GET', `${path}/balance`)
  assert.ok(body.exhausted && body.balance < 0, JSON.stringify(body))
  await credit('5')
  await eventually(() =>
    say(10).then(
      () => true,
      () => false,
    ),
  )
})
