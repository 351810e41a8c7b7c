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

const { stack, admin, mail } = await storyStack()

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

interface Heard {
  headers: Record<string, string>
  body: string
}

/** A receiver of webhooks that takes what comes. */
async function newReceiver() {
  const heard: Heard[] = []
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
  return { url: `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`, heard }
}

interface ShownAlert {
  kind: string
  deliveries: { state: string; destination_kind: string }[]
}

test('calls that reach a threshold of their budget while its service is away: webhook and mailbox hear of it once it is back, and once, also over its next kill', async () => {
  const { path, say } = await newClients()
  const { url, heard } = await newReceiver()
  const address = `ops${path.slice(path.lastIndexOf('/') + 1)}@example.com`
  const destinations = `${path}/budgets/alert-destinations`
  const { body: hook } = await admin.call<{ secret: string }>('POST', destinations, {
    kind: 'webhook',
    name: 'Hook',
    url,
  })
  const mailbox = { kind: 'email', name: 'People', addresses: [address] }
  assert.equal((await admin.call('POST', destinations, mailbox)).status, 201)
  const { body: budget } = await admin.call<{ id: string }>('POST', `${path}/budgets`, {
    name: 'Told of',
    unit: 'usd',
    limit: '0.05',
    window: 'month',
    mode: 'soft',
    thresholds: [20, 40, 90],
  })
  const spent = async () => {
    const { body } = await admin.call<{ spent: string }>('GET', `${path}/budgets/${budget.id}`)
    return Number(body.spent)
  }
  await eventually(async () => {
    const { headers } = await say(10).asResponse()
    return headers.get('sluice-budget-name') === 'Told of'
  })
  const { budget: service } = stack.services
  await service.kill()
  // About 3 of 5 cents, in two calls.
  await say(1_000)
  await say(1_000)
  await service.start()
  await service.untilReady()
  await eventually(() => heard.length > 0 && mail.mailsTo(address).length > 0)
  const delivered = await eventually(async () => {
    const { body } = await admin.call<{ alerts: ShownAlert[] }>('GET', `${path}/budgets/alerts`)
    const all = body.alerts.flatMap(({ deliveries }) => deliveries)
    return all.every(({ state }) => state === 'delivered') && all
  })
  assert.deepEqual(new Set(delivered.map(one => one.destination_kind)), new Set(['webhook', 'email']))

  await service.kill()
  await service.start()
  await service.untilReady()
  const before = await spent()
  await say(50)
  await eventually(async () => (await spent()) > before)
  const events = heard.map(({ headers, body }) => new Webhook(hook.secret).verify(body, headers)) as {
    type: string
    data: { budget_id: string; thresholds: number[] }
  }[]
  assert.deepEqual(
    [events.flatMap(({ data }) => data.thresholds), events[0]?.type, events[0]?.data.budget_id],
    [[20, 40], 'budget.threshold-crossed.v1', budget.id],
  )
  const mails = mail.mailsTo(address)
  assert.equal(mails.length, events.length, 'a mail for each message')
  assert.match(mails.at(-1) ?? '', /Budget "Told of" has reached 40 % of \$0\.05/)
  assert.match(mails.at(-1) ?? '', /^From: Sluice <alerts@sluice\.example>\r$/m)
})

test('a member’s key asks for more: the project’s mailbox hears of it, and the member by their own address what became of it', async () => {
  const { path } = await newClients()
  const projectId = path.slice(path.lastIndexOf('/') + 1)
  const [owners, ann] = [`owners${projectId}@example.com`, `ann${projectId}@example.com`]
  const mailbox = { kind: 'email', name: 'Owners', addresses: [owners] }
  assert.equal((await admin.call('POST', `${path}/budgets/alert-destinations`, mailbox)).status, 201)
  const person = { email: ann, can_use_llm_proxy: true }
  const { body: user } = await admin.call<{ user_id: string }>('POST', `${path}/users`, person)
  const { body: key } = await admin.call<{ value: string }>('POST', `${path}/api-keys`, {
    name: 'laptop',
    member_id: user.user_id,
  })
  const wish = { name: 'Asked of', unit: 'usd', limit: '1.00', window: 'month' }
  const { body: budget } = await admin.call<{ id: string }>('POST', `${path}/budgets`, wish)
  const asked = await eventually(async () => {
    const answer = await fetch(`${stack.url}/ask/${budget.id}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key.value}`, 'content-type': 'application/json' },
      body: JSON.stringify({ amount: '5', reason: 'The report is due.' }),
    })
    const body = (await answer.json()) as { id: string }
    return answer.status === 201 && body
  })
  await eventually(() => mail.mailsTo(owners).length > 0)
  assert.match(mail.mailsTo(owners)[0] ?? '', /^\$5\.00 more of budget "Asked of" is asked for\r$/m)
  assert.match(mail.mailsTo(owners)[0] ?? '', /^By: key \S+ "laptop", member \S+\r$/m)
  const decline = `${path}/budgets/requests/${asked.id}/decline`
  assert.equal((await admin.call('POST', decline, { word: 'Not this month.' })).status, 200)
  await eventually(() => mail.mailsTo(ann).length > 0)
  assert.match(mail.mailsTo(ann)[0] ?? '', /^The request for \$5\.00 more of budget "Asked of" is declined\r$/m)
  assert.match(mail.mailsTo(ann)[0] ?? '', /^Word: Not this month\.\r$/m)
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
