import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { eventually } from '@sluice/test-env'
import { newProject } from './new-project.ts'
import { storyStack } from './story-stack.ts'

const { stack, admin } = await storyStack()

interface Limit {
  kind: string
  name: string
  budget_id: string
  scope_in_words: string
  mode: string
  hold: string | null
  limit: string
  spent_before: string | null
  left_before: string | null
  held: string | null
  counted: string | null
  verdict: string
}
interface ExplainedCall {
  cost_nano_usd: string
  attempts: { clamped: { to: number; budget_id: string } | null }[]
  refusals: { reason: string; message: string }[]
  limits: {
    complete: boolean
    budgets: Limit[]
    stops: { stop_id: string; reason: string; verdict: string; scope_in_words: string }[]
    said_no: { reason: string; budget_id: string | null; stop_id: string | null; message: string } | null
  }
}

async function makeBudget(projectId: string, wish: Record<string, unknown>): Promise<string> {
  const { status, body } = await admin.call<{ id: string }>('POST', `/accounts/projects/${projectId}/budgets`, {
    scope: {},
    unit: 'usd',
    window: 'month',
    ...wish,
  })
  assert.equal(status, 201, JSON.stringify(body))
  return body.id
}

/** A call, made again while its money cannot be asked for: that is no story of its own. */
async function call(apiKey: string, tokens: number, maxTokens: number, headers: Record<string, string> = {}) {
  return eventually(async () => {
    const answer = await fetch(`${stack.openaiBaseUrl}/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json', ...headers },
      body: JSON.stringify({
        model: 'gpt-4o',
        max_tokens: maxTokens,
        messages: [{ role: 'user', content: `Write. [[sim output_tokens=${tokens}]]` }],
      }),
    })
    const isLater = /budget_unavailable|Too many calls wait/.test(await answer.text())
    return !isLater && { status: answer.status, callId: answer.headers.get('sluice-call-id') ?? '' }
  })
}

/** As its project's administrator reads it, once the usage of earlier calls is counted. */
function explain(projectId: string, callId: string, isTold: (call: ExplainedCall) => boolean = () => true) {
  return eventually(async () => {
    const path = `/accounts/projects/${projectId}/calls/${callId}`
    const { status, body } = await admin.call<ExplainedCall>('GET', path)
    return status === 200 && isTold(body) && body
  })
}

const limitOf = ({ limits }: ExplainedCall, name: string): Limit => {
  const found = limits.budgets.find(each => each.name === name)
  assert.ok(found, `${name}: ${JSON.stringify(limits)}`)
  return found
}
const usd = (nano: string) => Number(nano) / 1e9

suite('limits of a call', { concurrency: 4 }, () => {
  test('a call tells which budgets it met, what was there, what it held and what it came to, and which of them said no', async () => {
    const { projectId, apiKey } = await newProject(stack, admin, {})
    await makeBudget(projectId, { name: 'everything', limit: '5', mode: 'soft' })
    const potId = await makeBudget(projectId, { name: 'pot', limit: '0.01', mode: 'hard', hold: 'exact' })
    await makeBudget(projectId, { name: 'of others', limit: '5', scope: { app: 'no-such-app' }, mode: 'soft' })
    const first = await eventually(async () => {
      const made = await call(apiKey, 10, 20)
      assert.equal(made.status, 200)
      const told = await explain(projectId, made.callId)
      return told.limits.budgets.length === 2 && limitOf(told, 'pot').held !== null && told
    })
    assert.deepEqual(
      first.limits.budgets.map(({ name, kind, mode, hold, limit, verdict, scope_in_words }) => [
        [name, kind, mode, hold, limit],
        [verdict, scope_in_words],
      ]),
      [
        [
          ['everything', 'budget', 'soft', null, '5'],
          ['passed', 'all calls of the project'],
        ],
        [
          ['pot', 'budget', 'hard', 'exact', '0.01'],
          ['passed', 'all calls of the project'],
        ],
      ],
    )
    const cost = usd(first.cost_nano_usd)
    assert.ok(cost > 0)
    assert.equal(Number(limitOf(first, 'everything').counted), cost)
    assert.equal(limitOf(first, 'everything').held, null)
    assert.equal(Number(limitOf(first, 'pot').counted), cost)
    assert.ok(Number(limitOf(first, 'pot').held) >= cost)
    assert.equal(first.limits.said_no, null)

    const clamped = await call(apiKey, 5_000, 4_000)
    assert.equal(clamped.status, 200)
    const less = await explain(projectId, clamped.callId, told => Number(limitOf(told, 'pot').spent_before) >= cost)
    assert.equal(less.attempts[0]?.clamped?.budget_id, potId)
    assert.ok((less.attempts[0]?.clamped?.to ?? 0) >= 256)
    assert.deepEqual(
      [limitOf(less, 'pot').verdict, limitOf(less, 'everything').verdict],
      ['clamped', 'passed'],
      JSON.stringify(less.limits),
    )
    const { left_before, held, spent_before } = limitOf(less, 'pot')
    assert.ok(Math.abs(Number(left_before) + Number(spent_before) - 0.01) < 1e-12)
    assert.ok(Number(held) <= Number(left_before), 'it held no more than was there')

    const refused = await call(apiKey, 10, 1_000)
    assert.ok(refused.status >= 400)
    const no = await explain(projectId, refused.callId)
    assert.deepEqual([limitOf(no, 'pot').verdict, limitOf(no, 'everything').verdict], ['refused', 'passed'])
    assert.deepEqual([no.limits.said_no?.reason, no.limits.said_no?.budget_id], ['budget_spent', potId])
    assert.match(no.limits.said_no?.message ?? '', /Budget "pot" has too little left/)

    // What is changed and deleted later is told as it was.
    const pot = `/accounts/projects/${projectId}/budgets/${potId}`
    assert.equal((await admin.call('PATCH', pot, { name: 'renamed', limit: '7' })).status, 200)
    assert.equal((await admin.call('DELETE', pot)).status, 204)
    const later = await explain(projectId, refused.callId)
    assert.deepEqual([limitOf(later, 'pot').limit, limitOf(later, 'pot').verdict], ['0.01', 'refused'])
  })

  test('a rate limit and an admin’s stop that refused a call are told by it, and stops of others are not', async () => {
    const { projectId, apiKey } = await newProject(stack, admin, {})
    const limitId = await makeBudget(projectId, {
      name: 'a minute',
      scope: { model: 'gpt-4o', app: 'my-tool' },
      unit: 'requests',
      window: 'minute',
      limit: '1',
      mode: 'hard',
    })
    const app = { 'user-agent': 'my-tool/1.0' }
    const limited = await eventually(async () => {
      const made = await call(apiKey, 1, 10, app)
      return made.status === 429 && made
    })
    const rate = await explain(projectId, limited.callId)
    const { kind, verdict, scope_in_words } = limitOf(rate, 'a minute')
    assert.deepEqual(
      [kind, verdict, scope_in_words],
      ['rate limit', 'refused', 'calls of app my-tool, model gpt-4o'],
      JSON.stringify(rate.limits),
    )
    assert.deepEqual([rate.limits.said_no?.reason, rate.limits.said_no?.budget_id], ['rate_limited', limitId])

    const stopOf = async (scope: Record<string, string>, reason: string) =>
      (await admin.call<{ id: string }>('POST', `/accounts/projects/${projectId}/stops`, { scope, reason })).body.id
    await stopOf({ app: 'another-tool' }, 'Not this one.')
    const stopId = await stopOf({ app: 'my-tool' }, 'It runs wild.')
    const stopped = await eventually(async () => {
      const made = await call(apiKey, 1, 10, app)
      return made.status === 403 && made
    })
    const { limits } = await explain(projectId, stopped.callId)
    assert.deepEqual(
      limits.stops.map(({ stop_id, reason, verdict: said }) => [stop_id, reason, said]),
      [[stopId, 'It runs wild.', 'refused']],
    )
    assert.equal(limits.said_no?.stop_id, stopId)
  })

  test('a call that a used-up balance refused tells why, in the words of its client', async () => {
    const { projectId, apiKey } = await newProject(stack, admin, {})
    const path = `/accounts/projects/${projectId}`
    assert.equal((await admin.call('PATCH', `${path}/balance`, { prepaid: true })).status, 204)
    const refused = await eventually(async () => {
      const made = await call(apiKey, 1, 10)
      return made.status === 402 && made
    })
    const { limits } = await explain(projectId, refused.callId)
    assert.equal(limits.said_no?.reason, 'balance_exhausted')
    assert.match(
      limits.said_no?.message ?? '',
      /^The prepaid balance of this project is used up.*credit the project\.$/,
    )
  })
})
