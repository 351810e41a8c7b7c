import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import { eventually } from '@sluice/test-env'
import OpenAI from 'openai'
import { newProject } from './new-project.ts'
import { storyStack } from './story-stack.ts'

const { stack, admin } = await storyStack()

interface MoreRequest {
  id: string
  state: string
  amount: string
  granted: string | null
  until: string | null
  word: string | null
  poll: string
  requested_by?: string
}

/** A project with a key, and a budget of a cent over it that one call has spent: the client's next is refused. */
async function spentProject(mode: 'soft' | 'hard') {
  const { projectId, apiKey } = await newProject(stack, admin, {})
  const path = `/accounts/projects/${projectId}/budgets`
  const wish = { name: 'a cent', unit: 'usd', limit: '0.01', window: 'day', mode }
  const { body: budget } = await admin.call<{ id: string }>('POST', path, wish)
  const openai = new OpenAI({ baseURL: stack.openaiBaseUrl, apiKey, maxRetries: 0 })
  const call = () =>
    openai.chat.completions.create({
      model: 'gpt-4o',
      max_tokens: 2_000,
      messages: [{ role: 'user', content: 'Write. [[sim output_tokens=2000]]' }],
    })
  const refusal = await eventually(async () => {
    try {
      await call()
      return undefined
    } catch (error) {
      assert.ok(error instanceof OpenAI.APIError)
      return error.code === 'insufficient_quota' && error
    }
  })
  const as = async (key: string | undefined, method: string, url: string, body?: object) => {
    const answer = await fetch(url.startsWith('/') ? `${stack.url}${url}` : url, {
      method,
      headers: {
        ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
        ...(body ? { 'content-type': 'application/json' } : {}),
      },
      ...(body ? { body: JSON.stringify(body) } : {}),
    })
    const text = await answer.text()
    const isJson = answer.headers.get('content-type')?.includes('json')
    return {
      status: answer.status,
      headers: answer.headers,
      text,
      body: (isJson ? JSON.parse(text) : {}) as MoreRequest,
    }
  }
  return { projectId, apiKey, path, budgetId: budget.id, refusal, call, as }
}

const soon = () => new Date(Date.now() + 3_600_000).toISOString()

suite('asking for more', { concurrency: 4 }, () => {
  for (const mode of ['soft', 'hard'] as const)
    test(`a ${mode} budget that says no links to a request: its owner approves an amount until a time, and who waits goes on`, async () => {
      const { projectId, apiKey, path, budgetId, refusal, call, as } = await spentProject(mode)
      const link = refusal.headers?.get('sluice-request-more') ?? ''
      assert.equal(link, `${stack.url}/ask/${budgetId}`)
      assert.ok(refusal.message.endsWith(`Or ask here: ${link}`), refusal.message)
      assert.equal((refusal.error as { metadata: { request_more: string } }).metadata.request_more, `/ask/${budgetId}`)

      // Whoever opens it in a browser is told how, and nothing else.
      const opened = await as(undefined, 'GET', link)
      assert.deepEqual([opened.status, opened.headers.get('content-type')], [200, 'text/plain; charset=utf-8'])
      assert.match(opened.text, /curl -X POST/)
      assert.equal((await as(undefined, 'POST', link, { amount: '1', reason: 'x' })).status, 401)

      const asked = await as(apiKey, 'POST', link, { amount: '0.50', reason: 'The nightly job is not done.' })
      assert.deepEqual([asked.status, asked.body.state, asked.body.amount], [201, 'open', '0.50'], asked.text)
      assert.equal((await as(apiKey, 'POST', link, { amount: '9', reason: 'again' })).status, 409)
      assert.equal(asked.body.poll, `${stack.url}/accounts/projects/${projectId}/llm-proxy/requests/${asked.body.id}`)
      const polled = await as(apiKey, 'GET', asked.body.poll)
      assert.deepEqual([polled.body.state, polled.headers.get('retry-after')], ['open', '5'])

      const waiting = as(apiKey, 'GET', `${asked.body.poll}?wait=60`)
      const { body: open } = await admin.call<{ requests: MoreRequest[] }>('GET', `${path}/requests`)
      assert.deepEqual(
        open.requests.map(({ id }) => id),
        [asked.body.id],
      )
      const approval = { amount: '0.25', until: soon(), word: 'Until tonight.' }
      const decide = `${path}/requests/${asked.body.id}`
      assert.equal((await as(apiKey, 'POST', `${decide}/approve`, approval)).status, 403, 'nobody approves their own')
      const { status, body: approved } = await admin.call<MoreRequest>('POST', `${decide}/approve`, approval)
      assert.deepEqual([status, approved.state, approved.granted], [200, 'approved', '0.25'], JSON.stringify(approved))
      const answered = (await waiting).body
      assert.deepEqual(
        [answered.state, answered.granted, answered.until, answered.word],
        ['approved', '0.25', approval.until, 'Until tonight.'],
      )
      await eventually(async () => (await call().catch(() => undefined)) !== undefined)

      const { body: raised } = await admin.call<{ raises: { amount: string; reason: string }[] }>(
        'GET',
        `${path}/${budgetId}`,
      )
      assert.deepEqual(
        raised.raises.map(raise => [raise.amount, raise.reason]),
        [['0.25', 'The nightly job is not done.']],
      )
      // The same decision again changes nothing; another one is too late.
      assert.equal((await admin.call('POST', `${decide}/approve`, approval)).status, 200)
      assert.equal((await admin.call('POST', `${decide}/decline`, {})).status, 409)
      assert.deepEqual((await admin.call<{ requests: MoreRequest[] }>('GET', `${path}/requests`)).body.requests, [])
    })

  test('a request that is declined says so with a word, and the caller may ask again; requests are their asker’s alone', async () => {
    const { projectId, apiKey, path, budgetId, as } = await spentProject('soft')
    const link = `/ask/${budgetId}`
    const { body: asked } = await as(apiKey, 'POST', link, { amount: '1', reason: 'more' })
    const decide = `${path}/requests/${asked.id}`
    const { body: declined } = await admin.call<MoreRequest>('POST', `${decide}/decline`, { word: 'Not this month.' })
    assert.deepEqual([declined.state, declined.word], ['declined', 'Not this month.'])
    const seen = (await as(apiKey, 'GET', `${asked.poll}?wait=60`)).body
    assert.deepEqual([seen.state, seen.word, seen.granted], ['declined', 'Not this month.', null])
    assert.equal((await as(apiKey, 'POST', link, { amount: '1', reason: 'please' })).status, 201)
    const list = `/accounts/projects/${projectId}/llm-proxy/requests`
    const own = (await as(apiKey, 'GET', list)).body as unknown as { requests: MoreRequest[] }
    assert.deepEqual(
      own.requests.map(({ state }) => state),
      ['declined', 'open'],
    )

    const { body: key } = await admin.call<{ value: string }>('POST', `/accounts/projects/${projectId}/api-keys`, {
      name: 'another',
    })
    const others = await eventually(async () => {
      const answer = await as(key.value, 'GET', list)
      return answer.status === 200 && answer
    })
    assert.deepEqual((others.body as unknown as { requests: unknown[] }).requests, [])
    assert.equal((await as(key.value, 'GET', asked.poll)).status, 404)
    const stranger = await newProject(stack, admin, {})
    const strange = await as(stranger.apiKey, 'POST', link, { amount: '1', reason: 'of others' })
    assert.equal(strange.status, 404, strange.text)
  })

  test('Anthropic’s SDK shows the link, too', async () => {
    const { apiKey, budgetId } = await spentProject('soft')
    const anthropic = new Anthropic({ baseURL: stack.anthropicBaseUrl, apiKey })
    await assert.rejects(
      anthropic.messages.create({
        model: 'claude-sonnet-4-6',
        max_tokens: 10,
        messages: [{ role: 'user', content: 'x' }],
      }),
      (error: unknown) => {
        assert.ok(error instanceof Anthropic.RateLimitError)
        assert.ok(error.message.includes(`/ask/${budgetId}`), error.message)
        return true
      },
    )
  })

  test('an agent with a participant token is refused, asks with that token, waits with it and goes on; another one’s token sees nothing of it', async () => {
    const { projectId, apiKey, path, budgetId, as } = await spentProject('soft')
    const mint = async (name: string, api: object = { llm: {} }) => {
      const minted = await as(apiKey, 'POST', `/accounts/projects/${projectId}/participant-tokens`, { name, api })
      assert.equal(minted.status, 200, minted.text)
      return (minted.body as unknown as { token: string }).token
    }
    const [bo, cy, mute] = [await mint('bo'), await mint('cy'), await mint('mute', { storage: {} })]
    const agent = new OpenAI({ baseURL: stack.openaiBaseUrl, apiKey: bo, maxRetries: 0 })
    const call = () =>
      agent.chat.completions.create({ model: 'gpt-4o', max_tokens: 10, messages: [{ role: 'user', content: 'x' }] })
    const refusal = await call().catch((error: unknown) => error)
    assert.ok(refusal instanceof OpenAI.APIError, String(refusal))
    const link = refusal.headers?.get('sluice-request-more') ?? ''
    assert.match((await as(undefined, 'GET', link)).text, /key or token/)

    const asked = await as(bo, 'POST', link, { amount: '0.50', reason: 'The agent is not done.' })
    assert.deepEqual([asked.status, asked.body.state], [201, 'open'], asked.text)
    const waiting = as(bo, 'GET', `${asked.body.poll}?wait=60`)
    assert.equal((await as(cy, 'GET', asked.body.poll)).status, 404)
    assert.equal((await as(mute, 'POST', link, { amount: '1', reason: 'x' })).status, 403)
    const forged = `${bo.slice(0, -3)}${bo.endsWith('AAA') ? 'BBB' : 'AAA'}`
    assert.equal((await as(forged, 'POST', link, { amount: '1', reason: 'x' })).status, 401)
    const decide = `${path}/requests/${asked.body.id}/approve`
    assert.equal((await as(bo, 'POST', decide, { until: soon() })).status, 401, 'nobody approves their own')
    const { body: open } = await admin.call<{ requests: { participant: string }[] }>('GET', `${path}/requests`)
    assert.deepEqual(
      open.requests.map(({ participant }) => participant),
      ['bo'],
    )
    assert.equal((await admin.call('POST', decide, { until: soon() })).status, 200)
    assert.deepEqual([(await waiting).body.state, (await waiting).body.granted], ['approved', '0.50'])
    await eventually(async () => (await call().catch(() => undefined)) !== undefined)
    assert.equal((await as(undefined, 'GET', `/accounts/projects/${projectId}/budgets/${budgetId}`)).status, 401)
  })
})
