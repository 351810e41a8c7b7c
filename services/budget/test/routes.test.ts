import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { openBucket } from '@sluice/bus'
import { Budget, type Project } from '@sluice/contracts'
import { eventually, sized } from '@sluice/test-env'
import { sql } from 'kysely'
import { changeUnder } from '../src/change-under-store.ts'
import { fileScope, openService } from './budget-service.ts'

const env = await openService(fileScope, { rolloverIntervalMs: 1_000 })
const spend = { name: 'Spend', unit: 'usd', window: 'day', limit: '1.50' }

/** A project whose key the service knows by now. */
async function readyProject(role: 'admin' | 'developer' | 'member' = 'admin') {
  const project = await env.newProject(role)
  await eventually(async () => (await project.call('GET', `${project.projectId}/budgets`)).status !== 401)
  return project
}

test('a project sees and changes its own budgets only', async () => {
  const own = await readyProject()
  const other = await readyProject()
  const { body } = await own.call('POST', `${own.projectId}/budgets`, spend)
  assert.deepEqual((await own.call('GET', `${own.projectId}/budgets`)).body, {
    budgets: [body],
    continuation_token: null,
  })
  assert.deepEqual((await other.call('GET', `${other.projectId}/budgets`)).body, {
    budgets: [],
    continuation_token: null,
  })
  for (const path of [
    `${own.projectId}/budgets`,
    `${own.projectId}/budgets/${body.id}`,
    `${other.projectId}/budgets/${body.id}`,
  ])
    assert.equal((await other.call('GET', path)).status, 404, path)
  for (const path of [`${own.projectId}/budgets/${body.id}`, `${other.projectId}/budgets/${body.id}`]) {
    assert.equal((await other.call('PATCH', path, { limit: '9' })).status, 404)
    assert.equal((await other.call('DELETE', path)).status, 404)
  }
  assert.equal((await other.call('POST', `${own.projectId}/budgets`, spend)).status, 404)
  assert.equal((await own.call('GET', `${own.projectId}/budgets/${body.id}`)).body.limit, '1.50')
})

test('a stop says whom it is for: one that names nobody whom it knows stops nobody', async () => {
  const { projectId, call } = await readyProject()
  const path = `${projectId}/stops`
  for (const scope of [{ teams: 'x' }, { team: '' }, { project: 'x' }, { model: 'x' }, 'x'])
    assert.equal((await call('POST', path, { scope, reason: 'x' })).status, 400, JSON.stringify(scope))
  assert.deepEqual((await call('GET', path)).body.stops, [])
  const made = await call('POST', path, { scope: { team: 'x' }, reason: 'x' })
  assert.deepEqual([made.status, made.body.scope], [201, { team: 'x' }])
})

test('a budget over all projects of an account is its administrators’ alone, and calls of its projects meet it', async () => {
  const { projectId, call: key } = await readyProject()
  const admin = await env.newPerson('acct_test', true)
  const person = await env.newPerson('acct_test', false)
  const stranger = await env.newPerson('acct_other', true)
  await eventually(async () => (await stranger('GET', 'budgets')).status !== 401)
  for (const [method, path] of [
    ['GET', 'budgets'],
    ['POST', 'budgets'],
  ] as const) {
    assert.equal((await person(method, path, method === 'POST' ? spend : undefined)).status, 403)
  }
  const made = await admin('POST', 'budgets', { ...spend, per: 'project' })
  assert.deepEqual([made.status, made.body.project_id, made.body.scope, made.body.per], [201, null, {}, 'project'])
  const path = `budgets/${made.body.id}`
  assert.deepEqual((await admin('GET', 'budgets')).body.budgets, [made.body])
  assert.deepEqual((await stranger('GET', 'budgets')).body.budgets, [])
  assert.equal((await stranger('GET', path)).status, 404)
  assert.equal((await key('GET', `${projectId}/${path}`)).status, 404)
  assert.equal((await admin('PATCH', path, { limit: '3' })).body.limit, '3.00')
  const until = new Date(Date.now() + 60_000).toISOString()
  const raised = await admin('POST', `${path}/raises`, { amount: '1', until, reason: 'a launch' })
  assert.equal(raised.body.limit_in_force, '4.00')
  const { body: preview } = await key('POST', `${projectId}/budgets/preview`, { amounts: { usd: '5' } })
  const met = preview.budgets.find(({ id }: { id: string }) => id === made.body.id)
  assert.deepEqual([met.copy, met.limit, met.left], [projectId, '4.00', '4.00'])
  assert.equal((await admin('GET', `${path}/leases`)).status, 200)
  assert.equal((await stranger('DELETE', path)).status, 404)
  assert.equal((await admin('DELETE', path)).status, 204)
  assert.deepEqual((await admin('GET', 'budgets')).body.budgets, [])
})

test('a budget stands on what calls claim beside its project; a tag is a name and a value', async () => {
  const { projectId, call } = await readyProject()
  const make = (scope: object) => call('POST', `${projectId}/budgets`, { ...spend, scope })
  const { status, body } = await make({ app: 'codex', tag: 'ticket=T-1' })
  assert.deepEqual([status, body.scope], [201, { app: 'codex', tag: 'ticket=T-1' }])
  for (const tag of ['ticket', '=T-1', 'Two words=1', 'ticket=a\nb'])
    assert.equal((await make({ tag })).status, 400, tag)
  const met = async (dimensions: object) =>
    (await call('POST', `${projectId}/budgets/preview`, { dimensions })).body.budgets.length
  assert.equal(await met({ app: 'codex', tags: { ticket: 'T-1' } }), 1)
  assert.equal(await met({ app: 'codex' }), 0)
})

test('who changed a budget stays to be read, page by page, by who may read that, also when it is deleted', async () => {
  const { projectId, call } = await readyProject()
  const other = await readyProject()
  const { body } = await call('POST', `${projectId}/budgets`, { ...spend, mode: 'hard' })
  await call('POST', `${projectId}/budgets`, spend)
  await call('PATCH', `${projectId}/budgets/${body.id}`, { limit: '2' })
  const until = new Date(Date.now() + 60_000).toISOString()
  await call('POST', `${projectId}/budgets/${body.id}/raises`, { amount: '1', until, reason: 'a launch' })
  await call('DELETE', `${projectId}/budgets/${body.id}`)
  const path = `${projectId}/budgets/audit`
  const first = await call('GET', `${path}?budget=${body.id}&page_size=3`)
  const rest = await call('GET', `${path}?budget=${body.id}&continuation_token=${first.body.continuation_token}`)
  const entries = [...first.body.entries, ...rest.body.entries]
  assert.deepEqual(
    entries.map(({ action }) => action),
    ['created', 'changed', 'raised', 'deleted'],
  )
  assert.deepEqual([entries[1].before.limit, entries[1].after.limit], [1_500_000_000, 2_000_000_000])
  assert.equal(entries[2].after.reason, 'a launch')
  assert.match(entries[0].by, /^key /)
  assert.deepEqual([entries[0].from_address, entries[0].user_agent], ['127.0.0.1', 'lightMyRequest'])
  assert.equal(rest.body.continuation_token, null)
  assert.equal((await call('GET', path)).body.entries.length, 5)
  assert.equal((await other.call('GET', path)).status, 404)
  assert.deepEqual((await other.call('GET', `${other.projectId}/budgets/audit?budget=${body.id}`)).body.entries, [])
  for (const forged of ['none', 'budget-audit\nnone']) {
    const token = Buffer.from(forged).toString('base64url')
    assert.equal((await call('GET', `${path}?continuation_token=${token}`)).status, 400, forged)
  }
  const developer = await env.newKey(projectId, 'developer')
  await eventually(async () => (await developer('GET', `${projectId}/budgets`)).status === 200)
  assert.equal((await developer('GET', path)).status, 403)
})

test('the same creation again under its Idempotency-Key makes nothing, and another one under it is refused', async () => {
  const { projectId, call } = await readyProject()
  const path = `${projectId}/budgets`
  const key = { 'idempotency-key': 'deploy-7' }
  const [first, again] = await Promise.all([call('POST', path, spend, key), call('POST', path, spend, key)])
  assert.deepEqual([first.status, again.status, again.body.id], [201, 201, first.body.id])
  const until = new Date(Date.now() + 60_000).toISOString()
  const raise = { amount: '1', until, reason: 'a launch' }
  const raiseKey = { 'idempotency-key': 'raise-7' }
  for (let times = 0; times < 2; times++) {
    const raised = await call('POST', `${path}/${first.body.id}/raises`, raise, raiseKey)
    assert.deepEqual([raised.status, raised.body.limit_in_force, raised.body.raises.length], [201, '2.50', 1])
  }
  const other = await call('POST', path, { ...spend, limit: '2' }, key)
  assert.deepEqual([other.status, other.body.error.code], [409, 'idempotency_key_reused'])
  assert.equal((await call('POST', path, spend, { 'idempotency-key': 'two words' })).status, 400)
  assert.equal((await call('GET', path)).body.budgets.length, 1)
  const another = await readyProject()
  assert.notEqual((await another.call('POST', `${another.projectId}/budgets`, spend, key)).body.id, first.body.id)
})

test('a developer reads budgets, a member does not, neither changes them', async () => {
  const { projectId, call: admin } = await readyProject()
  const { body } = await admin('POST', `${projectId}/budgets`, spend)
  const developer = await env.newKey(projectId, 'developer')
  const member = await env.newKey(projectId, 'member')
  await eventually(async () => (await member('GET', `${projectId}/budgets`)).status !== 401)
  assert.equal((await developer('GET', `${projectId}/budgets/${body.id}`)).status, 200)
  assert.equal((await developer('PATCH', `${projectId}/budgets/${body.id}`, { limit: '2' })).status, 403)
  assert.equal((await member('GET', `${projectId}/budgets`)).status, 403)
  const answer = await env.service.app.inject({ method: 'GET', url: `/accounts/projects/${projectId}/budgets` })
  assert.equal(answer.statusCode, 401)
})

test('a limit is exact, from text or from whole nano-dollars', async () => {
  const { projectId, call } = await readyProject()
  const make = (body: object) => call('POST', `${projectId}/budgets`, { ...spend, limit: undefined, ...body })
  assert.deepEqual((await make({ limit: '0.000000001' })).body.limit_nano_usd, 1)
  assert.deepEqual((await make({ limit: 0.1 })).body.limit_nano_usd, 100_000_000)
  assert.deepEqual((await make({ limit_nano_usd: 10_000_000 })).body.limit, '0.01')
  assert.deepEqual((await make({ unit: 'tokens', limit: '5000' })).body.limit, '5000')
  for (const wrong of [
    {},
    { limit: '0' },
    { limit: '-1' },
    { limit: '0.0000000001' },
    { limit: '1e3' },
    { limit: 1e-7 },
    { limit: 1e21 },
    { limit: 0.30000000000000004 },
    { limit_nano_usd: 0 },
    { limit_nano_usd: '1.5' },
    { limit_nano_usd: '9007199254740990.5' },
    { unit: 'tokens', limit: '1.5' },
    { unit: 'tokens', limit_nano_usd: 5 },
    { limit: '1', limit_nano_usd: 5 },
  ]) {
    const answer = await make(wrong)
    assert.deepEqual([answer.status, answer.body.error.code], [400, 'invalid_limit'], JSON.stringify(wrong))
  }
})

test('an amount as a number is the digits that were sent, or refused', async () => {
  const { projectId, call } = await readyProject()
  const { body: budget } = await call('POST', `${projectId}/budgets`, spend)
  const json = { 'content-type': 'application/json' }
  const change = async (text: string) => {
    const { status, body } = await call('PATCH', `${projectId}/budgets/${budget.id}`, text, json)
    return status === 200 ? body.limit_nano_usd : body.error.code
  }
  assert.equal(await change('{"limit": 25}'), 25_000_000_000)
  assert.equal(await change('{"limit": 1234567.123456789}'), 1_234_567_123_456_789)
  assert.equal(await change('{"limit_nano_usd": 9007199254740991}'), Number.MAX_SAFE_INTEGER)
  assert.equal(await change('{"limit_nano_usd": "9007199254740991"}'), Number.MAX_SAFE_INTEGER)
  for (const digits of ['9007199.2547409905', '0.10000000000000001', '9007199254740993'])
    for (const member of ['limit', 'limit_nano_usd'])
      assert.equal(await change(`{"${member}": ${digits}}`), 'invalid_request', digits)
  const { body } = await call('POST', `${projectId}/budgets/preview`, { amounts: { usd: 0.000001 } })
  assert.equal(body.budgets[0].amount, '0.000001')
})

test('an amount that is none is refused under one code, which names its field', async () => {
  const { projectId, call } = await readyProject()
  const path = `${projectId}/budgets`
  const { body: budget } = await call('POST', path, { ...spend, limit: '9000000' })
  const reason = 'The job is not done.'
  const wish = { budget_id: budget.id, amount: '9000000', reason }
  const { body: asked } = await call('POST', `${projectId}/llm-proxy/requests`, wish)
  const until = new Date(Date.now() + 600_000).toISOString()
  const approve = `${path}/requests/${asked.id}/approve`
  const noAmount = (name: string) => new RegExp(`^Give "${name}" as text: decimal USD with at most nine decimal places`)
  const tooMuch = /^Raised by so much, a limit of 9000000\.00 would be above 9007199\.254740991/
  for (const [at, body, message] of [
    [`${path}/${budget.id}/raises`, { amount: 'five', until, reason }, noAmount('amount')],
    [`${path}/${budget.id}/raises`, { amount: '0', until, reason }, noAmount('amount')],
    [`${path}/${budget.id}/raises`, { amount: '9000000', until, reason }, tooMuch],
    [approve, { amount: '0.0000000001', until }, noAmount('amount')],
    [approve, { until }, tooMuch],
    [`${projectId}/llm-proxy/requests`, { ...wish, amount: '-1' }, noAmount('amount')],
    [`${path}/preview`, { amounts: { usd: '1e3' } }, noAmount('amounts\\.usd')],
    [path, { ...spend, mode: 'hard', on_unknown: { allow_up_to: 'all' } }, noAmount('allow_up_to')],
  ] as const) {
    const answer = await call('POST', at, body)
    assert.deepEqual([answer.status, answer.body.error.code], [400, 'invalid_amount'], JSON.stringify(body))
    assert.match(answer.body.error.message, message)
  }
})

test('a hard budget says how it holds, what is unknown to it, and what is left', async () => {
  const { projectId, call } = await readyProject()
  const { status, body } = await call('POST', `${projectId}/budgets`, {
    ...spend,
    mode: 'hard',
    hold: 'exact',
    on_unknown: { allow_up_to: '0.25' },
  })
  assert.deepEqual(
    [status, body.mode, body.hold, body.on_unknown, body.spent, body.held, body.unresolved, body.left],
    [201, 'hard', 'exact', { allow_up_to: '0.25' }, '0.00', '0.00', '0.00', '1.50'],
  )
  const budgets = await openBucket(env.gateway, 'budgets', Budget)
  assert.deepEqual((await eventually(() => budgets.get(body.id))).on_unknown, { allow_up_to: 250_000_000 })
  const changed = await call('PATCH', `${projectId}/budgets/${body.id}`, { hold: 'paced', on_unknown: 'deny' })
  assert.deepEqual([changed.body.hold, changed.body.on_unknown], ['paced', 'deny'])
  await eventually(async () => (await budgets.get(body.id))?.hold === 'paced')
  const slots = await call('POST', `${projectId}/budgets`, { name: 'Slots', unit: 'concurrent', limit: '3' })
  assert.deepEqual(
    [slots.body.mode, slots.body.window, slots.body.resets_at, slots.body.left],
    ['hard', 'total', null, '3'],
  )
})

test('a budget that cannot hold is refused in words, never taken for something weaker', async () => {
  const { projectId, call } = await readyProject()
  const soft = (await call('POST', `${projectId}/budgets`, spend)).body
  const slots = (await call('POST', `${projectId}/budgets`, { name: 'Slots', unit: 'concurrent', limit: '3' })).body
  const refused = async (answer: ReturnType<typeof call>) => {
    const { status, body } = await answer
    return [status, body.error.code]
  }
  const make = (body: object) => refused(call('POST', `${projectId}/budgets`, { ...spend, ...body }))
  const change = (id: string, body: object) => refused(call('PATCH', `${projectId}/budgets/${id}`, body))
  assert.deepEqual(await make({ unit: 'concurrent', limit: '3' }), [400, 'concurrent_is_hard'])
  assert.deepEqual(await make({ unit: 'concurrent', limit: '3', window: 'total', mode: 'soft' }), [
    400,
    'concurrent_is_hard',
  ])
  assert.deepEqual(await make({ hold: 'exact' }), [400, 'hold_is_hard'])
  assert.deepEqual(await make({ window: undefined }), [400, 'window_missing'])
  assert.deepEqual(await make({ mode: 'hard', on_unknown: { allow_up_to: '-1' } }), [400, 'invalid_amount'])
  assert.deepEqual(await change(soft.id, { hold: 'exact' }), [400, 'hold_is_hard'])
  assert.deepEqual(await change(slots.id, { mode: 'alert' }), [400, 'concurrent_is_hard'])
})

test('unit, window, scope and time zone never change, and a wrong field is named', async () => {
  const { projectId, call } = await readyProject()
  const { body } = await call('POST', `${projectId}/budgets`, spend)
  for (const change of [{ unit: 'tokens' }, { window: 'month' }, { scope: { team: 'a' } }, { time_zone: 'UTC' }]) {
    const { status, body: answer } = await call('PATCH', `${projectId}/budgets/${body.id}`, change)
    const words = `"${Object.keys(change)[0]}" of a budget never changes: make a new budget, and delete this one.`
    assert.deepEqual([status, answer.error.code, answer.error.message], [400, 'invalid_request', words])
  }
  assert.equal((await call('PATCH', `${projectId}/budgets/${body.id}`, {})).body.error.code, 'nothing_to_change')
  const zone = await call('POST', `${projectId}/budgets`, { ...spend, time_zone: 'Mars/Olympus' })
  assert.equal(zone.body.error.code, 'invalid_time_zone')
  const scope = await call('POST', `${projectId}/budgets`, { ...spend, scope: { project: 'other' } })
  assert.equal(scope.status, 400)
})

test('text that no store can hold is refused, and any other is kept', async () => {
  const { projectId, call } = await readyProject()
  for (const text of ['Ann\u0000', 'Ann\u001f', 'half \ud83d a pair']) {
    for (const change of [{ name: text }, { scope: { participant: text } }])
      assert.equal((await call('POST', `${projectId}/budgets`, { ...spend, ...change })).status, 400)
    const { body } = await call('POST', `${projectId}/budgets`, spend)
    assert.equal((await call('PATCH', `${projectId}/budgets/${body.id}`, { name: text })).status, 400)
  }
  assert.equal((await call('GET', `${projectId}/budgets/%00`)).status, 404)
  const kept = await call('POST', `${projectId}/budgets`, { ...spend, name: 'Größe 🙂', scope: { participant: '🙂' } })
  assert.deepEqual([kept.status, kept.body.name], [201, 'Größe 🙂'])
})

test('every change is in the bucket that gateways follow, and in the audit', async () => {
  const { projectId, call } = await readyProject()
  const budgets = await openBucket(env.gateway, 'budgets', Budget)
  const { body } = await call('POST', `${projectId}/budgets`, { ...spend, scope: { team: 'team_a' }, per: 'member' })
  const made = await eventually(() => budgets.get(body.id))
  assert.deepEqual(
    [made.scope, made.per, made.limit, made.version, made.account_id],
    [{ team: 'team_a', project: projectId }, 'member', 1_500_000_000, 1, 'acct_test'],
  )
  await call('PATCH', `${projectId}/budgets/${body.id}`, { name: 'Renamed', limit: '2' })
  await eventually(async () => (await budgets.get(body.id))?.version === 2)
  await call('DELETE', `${projectId}/budgets/${body.id}`)
  await eventually(async () => !(await budgets.get(body.id)))
  const entries = await env.db
    .selectFrom('audit_entries')
    .select(['action', 'actor_kind'])
    .where('budget_id', '=', body.id)
    .orderBy('id')
    .execute()
  assert.deepEqual(
    entries.map(entry => `${entry.action} by ${entry.actor_kind}`),
    ['created by key', 'changed by key', 'deleted by key'],
  )
})

test('the operator port says what is there and what is missing', async () => {
  const base = `http://127.0.0.1:${env.service.operatorPort}`
  assert.equal((await fetch(`${base}/health/ready`)).status, 200)
  assert.match(await (await fetch(`${base}/metrics`)).text(), /sluice_budget_usage_events_total/)
  assert.deepEqual(await (await fetch(`${base}/completeness`)).json(), {
    complete: true,
    series: [],
    given_up_gaps: { count: 0, latest: [] },
    dead_letters: { count: 0, oldest: [] },
    discarded: { count: 0, latest: [] },
  })
})

test('budgets are listed in pages, each once, in the order in which they were made', async () => {
  const { projectId, call } = await readyProject()
  const path = `${projectId}/budgets`
  const made: string[] = []
  for (let n = 0; n < 5; n++) made.push((await call('POST', path, { ...spend, name: `Spend ${n}` })).body.id)
  const seen: string[] = []
  let token: string | null = ''
  let pages = 0
  while (token !== null) {
    const query: string = token === '' ? '' : `&continuation_token=${token}`
    const { body } = await call('GET', `${path}?page_size=2${query}`)
    seen.push(...body.budgets.map(({ id }: { id: string }) => id))
    token = body.continuation_token
    pages += 1
  }
  assert.deepEqual([seen, pages], [made, 3])
  const foreign = Buffer.from(`budgets ${randomUUID()}\n${made[0]}`).toString('base64url')
  for (const query of ['page_size=0', 'page_size=501', 'continuation_token=x', `continuation_token=${foreign}`, 'x=1'])
    assert.equal((await call('GET', `${path}?${query}`)).status, 400, query)
})

test('what a team says of its seats is a budget for each person in it, from the begin of the window on', async () => {
  const { projectId, call } = await readyProject()
  const budgets = await openBucket(env.gateway, 'budgets', Budget)
  const path = `${projectId}/budgets`
  const say = (seat_budget?: Project['teams'][number]['seat_budget']) =>
    env.putProject(projectId, [{ team_id: 'team_a', name: 'A', ...(seat_budget && { seat_budget }) }])
  const listed = async () => (await call('GET', path)).body.budgets
  const spent = { identity: { team_id: 'team_a', member_id: 'mem_ann' }, cost_nano_usd: 700 }
  await env.send(projectId, [spent, { ...spent, identity: { team_id: 'team_b', member_id: 'mem_ann' } }])

  await say({ amount_nano_usd: 500, window: 'day' })
  const made = await eventually(async () => (await listed())[0])
  assert.deepEqual(
    [made.name, made.scope, made.per, made.limit_nano_usd, made.window, made.mode, made.seats_of_team],
    ['Seats of A', { team: 'team_a' }, 'member', 500, 'day', 'soft', 'team_a'],
  )
  const [copy] = await eventually(async () => {
    const { copies } = (await call('GET', `${path}/${made.id}`)).body
    return copies[0]?.cutoff.active && copies
  })
  assert.deepEqual([copy.copy, copy.spent, copy.cutoff.active], ['mem_ann', '0.0000007', true])

  const meets = async () => {
    const dimensions = { team: 'team_a', member: 'mem_ann' }
    return (await call('POST', `${path}/preview`, { dimensions })).body.budgets.map(
      ({ name }: { name: string }) => name,
    )
  }
  const own = { ...spend, name: 'Ann', scope: { team: 'team_a', member: 'mem_ann' } }
  const { body: anns } = await call('POST', path, own)
  const { except, copies } = (await call('GET', `${path}/${made.id}`)).body
  assert.deepEqual([except, copies[0].cutoff.active, await meets()], [['mem_ann'], false, ['Ann']])
  assert.deepEqual((await eventually(() => budgets.get(made.id))).except, ['mem_ann'])
  await call('PATCH', `${path}/${anns.id}`, { mode: 'alert' })
  assert.deepEqual((await meets()).sort(), ['Ann', 'Seats of A'])
  await call('PATCH', `${path}/${anns.id}`, { mode: 'soft' })
  assert.deepEqual(await meets(), ['Ann'])
  assert.equal((await call('DELETE', `${path}/${anns.id}`)).status, 204)
  const after = (await call('GET', `${path}/${made.id}`)).body
  assert.deepEqual([after.except, after.copies[0].cutoff.active, await meets()], [undefined, true, ['Seats of A']])

  await say({ amount_nano_usd: 900, window: 'day', mode: 'hard' })
  await eventually(async () => (await budgets.get(made.id))?.mode === 'hard')
  const [changed, ...others] = await eventually(async () => {
    const found = await listed()
    return !found[0]?.copies[0]?.cutoff.active && found
  })
  assert.deepEqual([changed.id, changed.limit_nano_usd, changed.copies[0].cutoff.active], [made.id, 900, false])
  assert.deepEqual(others, [])

  for (const [method, body] of [
    ['PATCH', { limit: '9' }],
    ['DELETE', undefined],
  ] as const) {
    const refused = await call(method, `${path}/${made.id}`, body)
    assert.deepEqual([refused.status, refused.body.error.code], [409, 'budget_of_team'], method)
  }
  const until = new Date(Date.now() + 60_000).toISOString()
  const raised = await call('POST', `${path}/${made.id}/raises`, { amount: '1', until, reason: 'a launch' })
  assert.equal(raised.status, 201)

  await say()
  await eventually(async () => (await listed()).length === 0)
  await eventually(async () => (await budgets.get(made.id)) === undefined)
  const { entries } = (await call('GET', `${path}/audit?budget=${made.id}`)).body
  assert.deepEqual(
    entries.map(({ action, by }: { action: string; by: string }) => [action, by.split(' ')[0]]),
    [
      ['created', 'service'],
      // For Ann's own budget, as it was made, changed twice and deleted.
      ...Array.from({ length: 4 }, () => ['changed', 'key']),
      ['changed', 'service'],
      ['raised', 'key'],
      ['deleted', 'service'],
    ],
  )
})

test('whoever may call models sees what is left of their own budgets, and nobody else’s', async () => {
  const { projectId, call } = await readyProject()
  const path = `${projectId}/budgets`
  const ann = await env.newKey(projectId, 'member', { member_id: 'mem_ann', member_team_ids: ['team_a'] })
  const program = await env.newKey(projectId, 'member', { service_account_id: 'sa_1' })
  const quota = async (who: typeof ann) => (await who('GET', `${projectId}/llm-proxy/quota`)).body
  await eventually(async () => (await program('GET', `${projectId}/llm-proxy/quota`)).status === 200)
  const { resets_at, ...none } = await quota(ann)
  assert.ok(Date.parse(resets_at) > Date.now())
  const subject = { project_id: projectId, subject_type: 'user', subject_id: 'mem_ann' }
  assert.deepEqual(none, {
    ...subject,
    enabled: false,
    monthly_quota: null,
    spent: 0,
    balance: null,
    budgets: [],
  })
  const month = { unit: 'usd', window: 'month' }
  for (const budget of [
    { ...month, name: 'each', per: 'member', limit: '10' },
    { ...month, name: 'programs', per: 'service_account', limit: '7' },
    { ...month, name: 'Bob', scope: { member: 'mem_bob' }, limit: '3' },
    { ...month, name: 'project', limit: '1' },
    { ...month, name: 'in team a', scope: { team: 'team_a' }, per: 'member', limit: '20' },
    { ...month, name: 'in team b', scope: { team: 'team_b' }, per: 'member', limit: '2' },
    { name: 'Ann’s calls', scope: { member: 'mem_ann' }, unit: 'requests', window: 'day', limit: '500' },
  ])
    assert.equal((await call('POST', path, budget)).status, 201)
  await env.send(projectId, [
    { identity: { member_id: 'mem_ann' }, cost_nano_usd: 2_500_000_000 },
    { identity: { member_id: 'mem_bob' }, cost_nano_usd: 1_000_000_000 },
  ])
  const own = await eventually(async () => {
    const answer = await quota(ann)
    return answer.spent === 2.5 && answer
  })
  assert.deepEqual([own.enabled, own.monthly_quota, own.balance], [true, 10, 7.5])
  assert.deepEqual(
    own.budgets.map(({ name, left }: { name: string; left: string }) => [name, left]).sort(),
    [
      ['Ann’s calls', '499'],
      ['each', '7.50'],
      ['in team a', '20.00'],
    ].sort(),
  )
  const programs = await quota(program)
  assert.deepEqual([programs.subject_type, programs.subject_id, programs.balance], ['service_account', 'sa_1', 7])
  assert.equal((await quota(call)).subject_type, 'key')
  const stranger = await readyProject()
  assert.equal((await stranger.call('GET', `${projectId}/llm-proxy/quota`)).status, 404)
})

test('quotas as clients of MeshAgent set them are hard monthly budgets: one of all, and in its place one of somebody', async () => {
  const { projectId, call } = await readyProject()
  const path = `${projectId}/llm-quotas`
  assert.deepEqual((await call('GET', `${path}/defaults`)).body, {
    user_monthly_quota: null,
    service_account_monthly_quota: null,
  })
  const set = await call('PUT', `${path}/defaults`, { user_monthly_quota: 25.5, service_account_monthly_quota: null })
  assert.deepEqual([set.status, set.body], [200, { user_monthly_quota: 25.5, service_account_monthly_quota: null }])
  const { body: ofAll } = await call('GET', `${path}/users/mem_1`)
  assert.deepEqual(
    { ...ofAll, resets_at: '' },
    {
      ...{ project_id: projectId, subject_type: 'user', subject_id: 'mem_1', monthly_quota: 25.5 },
      ...{ monthly_quota_override: null, balance: 25.5, spent: 0, resets_at: '', enabled: true },
    },
  )
  assert.ok(Date.parse(ofAll.resets_at) > Date.now())

  // More than all others have: their own stands in the place of that.
  const own = await call('PUT', `${path}/users/mem_1`, { monthly_quota: 100 })
  assert.deepEqual([own.body.monthly_quota, own.body.monthly_quota_override, own.body.balance], [100, 100, 100])
  const metBy = async (member: string) => {
    const { body } = await call('POST', `${projectId}/budgets/preview`, { dimensions: { member } })
    return body.budgets.map(({ limit, copy }: { limit: string; copy: string | null }) => [limit, copy])
  }
  assert.deepEqual(await metBy('mem_1'), [['100.00', '']])
  assert.deepEqual(await metBy('mem_2'), [['25.50', 'mem_2']])
  const { body: list } = await call('GET', `${projectId}/budgets`)
  assert.deepEqual(
    list.budgets.map(({ name, mode, window, per }: Record<string, unknown>) => [name, mode, window, per]),
    [
      ['Monthly quota of each member', 'hard', 'month', 'member'],
      ['Monthly quota', 'hard', 'month', null],
    ],
  )
  // Whoever deletes it among the budgets, or lets it only watch, gives them back what all have.
  const mine = `${projectId}/budgets/${list.budgets[1].id}`
  assert.equal((await call('PATCH', mine, { mode: 'alert' })).status, 200)
  assert.equal((await call('GET', `${path}/users/mem_1`)).body.monthly_quota, 25.5)
  assert.equal((await call('PATCH', mine, { mode: 'hard' })).status, 200)
  const back = await call('DELETE', `${path}/users/mem_1`)
  assert.deepEqual([back.status, back.body.monthly_quota, back.body.monthly_quota_override], [200, 25.5, null])
  assert.deepEqual(await metBy('mem_1'), [['25.50', 'mem_1']])

  const fresh = await call('POST', `${path}/users/mem_1:reset`)
  assert.deepEqual([fresh.status, fresh.body.spent, fresh.body.monthly_quota], [200, 0, 25.5])
  assert.equal((await call('POST', `${path}/service-accounts/sa_1:reset`)).status, 404)
  assert.equal((await call('PUT', `${path}/service-accounts/sa_1`, { monthly_quota: '0' })).body.balance, 0)
  for (const monthly_quota of [-1, '1e3', 'x', 0.1234567891, null, true])
    assert.equal((await call('PUT', `${path}/users/mem_1`, { monthly_quota })).status, 400, String(monthly_quota))
  const none = await call('PUT', `${path}/defaults`, { user_monthly_quota: null })
  assert.equal(none.body.user_monthly_quota, null)
  assert.equal((await call('GET', `${path}/users/mem_3`)).body.enabled, false)

  const reader = await readyProject('developer')
  assert.equal((await reader.call('GET', `${reader.projectId}/llm-quotas/defaults`)).status, 200)
  assert.equal((await reader.call('PUT', `${reader.projectId}/llm-quotas/users/m`, { monthly_quota: 1 })).status, 403)
  assert.equal((await reader.call('GET', `${path}/defaults`)).status, 404)
})

test('whoever may meet a budget asks for more of it, and for nobody else it is there: by team, key, person and account', async () => {
  const { projectId, call } = await readyProject()
  const red = await env.newKey(projectId, 'member', { team_id: 'team_red' })
  const blue = await env.newKey(projectId, 'member', { team_id: 'team_blue' })
  const ann = await env.newKey(projectId, 'member', { member_id: 'mem_ann', member_team_ids: ['team_red'] })
  const alone = await env.newKey(projectId, 'member')
  await eventually(async () => (await alone('GET', `${projectId}/llm-proxy/requests`)).status === 200)
  const make = async (scope: object) =>
    (await call('POST', `${projectId}/budgets`, { ...spend, scope })).body.id as string
  const wish = (budget_id: string) => ({ budget_id, amount: '1', reason: 'The job is not done.' })
  const ask = async (who: typeof call, budgetId: string) =>
    (await who('POST', `${projectId}/llm-proxy/requests`, wish(budgetId))).status
  const ofRed = await make({ team: 'team_red' })
  const ofNoTeam = await make({ team: 'unassigned' })
  const ofAnn = await make({ member: 'mem_ann' })
  const statuses: Record<string, number[]> = {}
  for (const [name, who] of Object.entries({ red, blue, ann, alone })) {
    statuses[name] = []
    for (const budgetId of [ofRed, ofNoTeam, ofAnn]) statuses[name].push(await ask(who, budgetId))
  }
  assert.deepEqual(statuses, {
    red: [201, 404, 404],
    blue: [404, 404, 404],
    ann: [201, 201, 201],
    alone: [404, 201, 404],
  })

  // Over all projects of an account: its administrators decide, and nobody of the project does.
  const admin = await env.newPerson('acct_test', true)
  const person = await env.newPerson('acct_test', false)
  const stranger = await env.newPerson('acct_other', true)
  await eventually(async () => (await stranger('GET', 'budgets')).status !== 401)
  const { body: overall } = await admin('POST', 'budgets', spend)
  const asked = await red('POST', `${projectId}/llm-proxy/requests`, wish(overall.id))
  assert.equal(asked.status, 201)
  const path = `${projectId}/llm-proxy/requests/${asked.body.id}`
  assert.equal(asked.body.poll, `https://sluice.example.com/accounts/projects/${path}`)
  const listed = async (who: typeof call, at: string) =>
    (await who('GET', at)).body.requests?.some(({ id }: { id: string }) => id === asked.body.id)
  assert.equal(await listed(call, `${projectId}/budgets/requests`), false)
  assert.equal(await listed(stranger, 'budgets/requests'), false)
  assert.equal(await listed(admin, 'budgets/requests'), true)
  const approval = { until: new Date(Date.now() + 3_600_000).toISOString() }
  const approve = `requests/${asked.body.id}/approve`
  assert.equal((await call('POST', `${projectId}/budgets/${approve}`, approval)).status, 404)
  assert.equal((await stranger('POST', `budgets/${approve}`, approval)).status, 404)
  assert.equal((await person('POST', `budgets/${approve}`, approval)).status, 403)
  const approved = await admin('POST', `budgets/${approve}`, approval)
  assert.deepEqual([approved.status, approved.body.granted], [200, '1.00'])
  assert.equal((await red('GET', path)).body.state, 'approved')
  assert.equal((await blue('GET', path)).status, 404)
  assert.equal((await admin('GET', `budgets/${overall.id}`)).body.limit_in_force, '2.50')
  assert.equal((await admin('DELETE', `budgets/${overall.id}`)).status, 204)
})

test('who waits for an answer leaves room for other projects: beyond its share a project is told to ask again', async () => {
  const ask = async ({ projectId, call }: Awaited<ReturnType<typeof readyProject>>) => {
    const { id: budget_id } = (await call('POST', `${projectId}/budgets`, spend)).body
    const wish = { budget_id, amount: '1', reason: 'The job is not done.' }
    const { id } = (await call('POST', `${projectId}/llm-proxy/requests`, wish)).body
    const path = `${projectId}/llm-proxy/requests/${id}`
    const decline = () => call('POST', `${projectId}/budgets/requests/${id}/decline`, {})
    return { wait: () => call('GET', `${path}?wait=60`), look: () => call('GET', path), decline }
  }
  const greedy = await ask(await readyProject())
  const other = await ask(await readyProject())
  const waiting = Array.from({ length: 21 }, greedy.wait)
  const oneMore = await Promise.race(waiting)
  assert.deepEqual([oneMore.status, oneMore.body.error.code], [429, 'too_many_waiting'], JSON.stringify(oneMore.body))
  assert.equal((await greedy.look()).body.state, 'open')
  const waitsBeside = other.wait()
  assert.equal((await other.decline()).status, 200)
  assert.deepEqual([(await waitsBeside).status, (await waitsBeside).body.state], [200, 'declined'])
  assert.equal((await greedy.decline()).status, 200)
  const ends = (await Promise.all(waiting)).map(({ status, body }) => body.state ?? status)
  assert.deepEqual(ends.sort(), [429, ...Array(20).fill('declined')])
})

test('a participant asks with their token for what their calls meet, once at a time each, and sees what they have asked for alone', async () => {
  const { projectId, call } = await readyProject()
  const { keyId, call: key, newToken } = await env.newSigner(projectId, 'member', { member_id: 'mem_ann' })
  const [bo, cy] = [newToken({ name: 'bo', room: 'lab' }), newToken({ name: 'cy' })]
  await eventually(async () => (await key('GET', `${projectId}/llm-proxy/requests`)).status === 200)
  const make = async (budget: object) => (await call('POST', `${projectId}/budgets`, { ...spend, ...budget })).body.id
  const budgets = {
    all: await make({}),
    bo: await make({ scope: { participant: 'bo' } }),
    lab: await make({ scope: { room: 'lab' } }),
    ann: await make({ scope: { member: 'mem_ann' } }),
    another: await make({ scope: { member: 'mem_other' } }),
  }
  const wish = { amount: '1', reason: 'The job is not done.' }
  const ask = async (who: typeof bo, id: string) => (await who('POST', `ask/${id}`, wish)).status
  const statuses: Record<string, number[]> = {}
  for (const [name, who] of Object.entries({ bo, cy })) {
    statuses[name] = []
    for (const id of Object.values(budgets)) statuses[name].push(await ask(who, id))
  }
  assert.deepEqual(statuses, { bo: [201, 201, 201, 201, 404], cy: [201, 404, 404, 201, 404] })
  assert.equal(await ask(bo, budgets.all), 409, 'one at a time')

  const own = `accounts/projects/${projectId}/llm-proxy/requests`
  const listed = async (who: typeof bo, path = own) =>
    (await who('GET', path)).body.requests.map(({ budget_id }: { budget_id: string }) => budget_id)
  assert.deepEqual(await listed(cy), [budgets.all, budgets.ann])
  assert.equal((await listed(key, `${projectId}/llm-proxy/requests`)).length, 6, 'a key sees those of its tokens')
  const [first] = (await bo('GET', own)).body.requests
  assert.equal((await cy('GET', `${own}/${first.id}`)).status, 404)
  assert.equal((await bo('GET', `${own}/${first.id}`)).body.state, 'open')
  const { body } = await call('GET', `${projectId}/budgets/requests`)
  const shown = body.requests.find(({ id }: { id: string }) => id === first.id)
  assert.deepEqual(
    [shown.requested_by, shown.participant, shown.room, shown.member_id],
    [`key ${keyId}`, 'bo', 'lab', 'mem_ann'],
  )

  // A token is for that and nothing else, whatever its key may do.
  const boss = await env.newSigner(projectId, 'admin')
  const [ofBoss, mute, forged] = [
    boss.newToken({ name: 'bo' }),
    boss.newToken({ name: 'bo' }, false),
    env.callAs('ey.e.x', '/'),
  ]
  await eventually(async () => (await boss.call('GET', `${projectId}/budgets`)).status === 200)
  assert.deepEqual(await listed(ofBoss), [], 'of the same name, and another key’s')
  const budget = `accounts/projects/${projectId}/budgets`
  for (const [method, path] of [
    ['GET', budget],
    ['GET', `${budget}/requests`],
    ['POST', `${budget}/requests/${first.id}/approve`],
    ['GET', `accounts/projects/${projectId}/llm-proxy/quota`],
  ] as const)
    assert.equal((await ofBoss(method, path, method === 'POST' ? {} : undefined)).status, 401, path)
  assert.deepEqual([await ask(mute, budgets.all), await ask(forged, budgets.all)], [403, 401])
  const elsewhere = await readyProject()
  assert.equal((await ofBoss('GET', `accounts/projects/${elsewhere.projectId}/llm-proxy/requests`)).status, 404)

  const once = { 'idempotency-key': 'one' }
  const again = [boss.newToken({ name: 'di' }), boss.newToken({ name: 'ed' })]
  const made = await Promise.all(again.map(who => who('POST', `ask/${budgets.all}`, wish, once)))
  assert.deepEqual(
    made.map(({ status }) => status),
    [201, 201],
    'names of one are not those of another',
  )
  assert.notEqual(made[0]?.body.id, made[1]?.body.id)
})

test('however many participants a key names, they ask together for no more than an hour allows, and the key itself still asks', async () => {
  const { projectId, call } = await readyProject()
  const { call: key, newToken } = await env.newSigner(projectId, 'member')
  await eventually(async () => (await key('GET', `${projectId}/llm-proxy/requests`)).status === 200)
  const { id } = (await call('POST', `${projectId}/budgets`, spend)).body
  const wish = { amount: '1', reason: 'x' }
  const askers = 104
  // Those who have asked already, of whom a small run writes most itself.
  const before = sized({ small: 80, full: 0 })
  assert.equal((await newToken({ name: 'first' })('POST', `ask/${id}`, wish)).status, 201)
  await sql`insert into more_requests
    select copy.* from more_requests as one, generate_series(1, ${before}::int) as n, jsonb_populate_record(one,
      jsonb_build_object('request_id', one.request_id || '_' || n, 'participant', 'before ' || n)) as copy
    where one.budget_id = ${id}`.execute(env.db)
  const codes: unknown[] = []
  for (let number = 1 + before; number < askers; number += 4) {
    const names = [0, 1, 2, 3].map(more => `p${number + more}`)
    const answers = await Promise.all(names.map(name => newToken({ name })('POST', `ask/${id}`, wish)))
    codes.push(...answers.map(({ status, body }) => (status === 201 ? status : body.error.code)))
  }
  const refused = codes.filter(code => code === 'too_many_requests').length
  assert.ok(refused > 0 && refused < codes.length / 2, codes.join())
  assert.equal(codes.length - refused, codes.filter(code => code === 201).length, codes.join())
  assert.equal((await key('POST', `${projectId}/llm-proxy/requests`, { budget_id: id, ...wish })).status, 201)
})

test('a deleted budget leaves no request for more open: whoever waits for an answer has it at once, with a word of why', async () => {
  const { projectId, call } = await readyProject()
  const asker = await env.newKey(projectId, 'member')
  await eventually(async () => (await asker('GET', `${projectId}/llm-proxy/requests`)).status === 200)
  const { body: budget } = await call('POST', `${projectId}/budgets`, spend)
  const wish = { budget_id: budget.id, amount: '1', reason: 'The job is not done.' }
  const { body: asked } = await asker('POST', `${projectId}/llm-proxy/requests`, wish)
  const since = performance.now()
  const waiting = asker('GET', `${projectId}/llm-proxy/requests/${asked.id}?wait=60`)
  assert.equal((await call('DELETE', `${projectId}/budgets/${budget.id}`)).status, 204)
  const { body: answer } = await waiting
  assert.ok(performance.now() - since < 60_000)
  assert.equal(answer.state, 'declined')
  assert.match(answer.word, /was deleted/)
  const { body: list } = await call('GET', `${projectId}/budgets/requests?decided=true`)
  assert.deepEqual(
    list.requests.map(({ id, state, word }: Record<string, unknown>) => [id, state, word]),
    [[asked.id, 'declined', answer.word]],
  )
  const [told] = await env.toldTrail(asked.id, 'budget-request.declined')
  assert.deepEqual([told?.project_id, told?.after], [projectId, { word: answer.word }])
  const until = new Date(Date.now() + 3_600_000).toISOString()
  const late = await call('POST', `${projectId}/budgets/requests/${asked.id}/approve`, { until })
  assert.deepEqual([late.status, late.body.error.code], [409, 'request_decided'])
})

test('a hundred changes of one budget at once take turns, and leave the database to other tenants', async t => {
  const one = await readyProject()
  const other = await readyProject()
  const { body: budget } = await one.call('POST', `${one.projectId}/budgets`, spend)
  let done = 0
  const changes = Array.from({ length: 100 }, async (_, at) => {
    const changed = await one.call('PATCH', `${one.projectId}/budgets/${budget.id}`, { limit: `${at + 1}.00` })
    done++
    return changed.status
  })
  await Promise.race(changes)
  const doneFirst = done
  const made = await other.call('POST', `${other.projectId}/budgets`, spend)
  const doneMeanwhile = done - doneFirst
  t.diagnostic(`${doneMeanwhile} of 100 changes were made while another tenant waited`)
  assert.equal(made.status, 201)
  assert.ok(doneMeanwhile < 50, `${doneMeanwhile} went first`)
  assert.deepEqual([...new Set(await Promise.all(changes))], [200])
  assert.equal((await one.call('GET', `${one.projectId}/budgets/${budget.id}`)).body.version, 101)

  const parent = { accountId: 'acct_test', projectId: one.projectId }
  const many = await Promise.allSettled(Array.from({ length: 300 }, () => changeUnder(env.db, parent, async () => {})))
  const refused = many.flatMap(each => (each.status === 'rejected' ? [each.reason.code] : []))
  assert.deepEqual([refused.length, ...new Set(refused)], [100, 'too_many_changes'])
})
