import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { connectBus, followCredentials, openBucket } from '@sluice/bus'
import { type ClickhousePool, openClickhouse } from '@sluice/clickhouse'
import { Key, Project, type Role, Session, type UsageRecordedData } from '@sluice/contracts'
import { hashCredential } from '@sluice/runtime'
import {
  crawlRoutes,
  eventually,
  makeUsageEvent,
  operationsOf,
  publishUsage,
  type UsageOverrides,
} from '@sluice/test-env'
import type { FastifyInstance } from 'fastify'
import { buildApp } from '../src/app.ts'
import { queriesForRoutes } from '../src/query-store.ts'
import { recentCalls } from '../src/recent-calls.ts'
import { refusedRowStore } from '../src/refused-row-store.ts'
import { rollupStore } from '../src/rollup-store.ts'
import { tenantQueries, tenantTables } from '../src/tenant-query-store.ts'
import { usageRowStore } from '../src/usage-row-store.ts'
import { usageSumStore } from '../src/usage-sum-store.ts'
import { logger, openAnalyticsEnv } from './analytics-env.ts'

const env = await openAnalyticsEnv()
const accounts = await connectBus(
  { url: env.nats.url, user: 'accounts', password: env.nats.users.accounts.pass },
  'accounts',
  logger,
)
const credentials = await followCredentials(env.bus, logger)
env.defer(async () => {
  await credentials.close()
  await accounts.close()
})
const { recent } = env.startUsage()
await env.startRefused(recent)
const app = buildApp({ ...env, ...env.forRequests, credentials, recent, now: Date.now, trustedProxies: [], logger })
const keys = await openBucket(accounts, 'keys', Key)
const sessions = await openBucket(accounts, 'sessions', Session)
const projects = await openBucket(accounts, 'projects', Project)

async function addKey(projectId: string, role: Role): Promise<string> {
  const secret = `ma-${randomUUID()}${randomUUID()}`
  const keyId = randomUUID()
  await keys.put(keyId, {
    key_id: keyId,
    version: 1,
    project_id: projectId,
    account_id: 'acct_test',
    name: role,
    role,
    secrets: [
      {
        secret_id: 'sec_1',
        hash: hashCredential(secret),
        envelope: { v: 1, kid: 'k', wrapped_key: '', nonce: '', ciphertext: '' },
      },
    ],
  })
  await eventually(() => credentials.findKeyByHash(hashCredential(secret)))
  return secret
}

async function addProject(): Promise<{ projectId: string; key: string }> {
  const projectId = randomUUID()
  await projects.put(projectId, {
    project_id: projectId,
    version: 1,
    account_id: 'acct_test',
    name: 'test',
    disabled: false,
    allowed_models: null,
    integrations: [],
    unpriced: 'deny',
    on_client_abort: { openai: 'drain', anthropic: 'cancel' },
    teams: [],
  })
  await eventually(() => credentials.accountOfProject(projectId))
  return { projectId, key: await addKey(projectId, 'developer') }
}

async function addSession(projectId: string, memberId: string, held: string[]): Promise<string> {
  const token = randomUUID() + randomUUID()
  await sessions.put(hashCredential(token), {
    member_id: memberId,
    account_id: 'acct_test',
    account_admin: false,
    projects: { [projectId]: 'member' },
    permissions: { [projectId]: held },
    expires_at_ms: Date.now() + 60_000,
  })
  await eventually(() => credentials.findSessionByHash(hashCredential(token)))
  return token
}

let gateways = 0
async function record(projectId: string, overrides: readonly UsageOverrides[]): Promise<UsageRecordedData[]> {
  const events = overrides.map(one => makeUsageEvent({ ...one, identity: { ...one.identity, project_id: projectId } }))
  const range = { gatewayId: `gw_${++gateways}`, epoch: 1, partition: 0, first: 1, last: events.length }
  return publishUsage({ connection: env.nats.admin }, range, events)
}

const untilInserted = (events: readonly UsageRecordedData[]) =>
  eventually(async () => {
    const [first] = events
    if (!first) return true
    const rows = await env.rows.listUsage({ projectId: first.identity.project_id }, undefined, 10_000)
    return events.every(event => rows.some(row => row.event_id === event.event_id))
  })

const get = (url: string, key?: string, to: FastifyInstance = app) =>
  to.inject({ url, headers: key === undefined ? {} : { authorization: `Bearer ${key}` } })

test('usage is summed by provider, model and type, with prices exact to the nano-dollar', async () => {
  const { projectId, key } = await addProject()
  const big = 9_007_199_254_740_991
  const line = (name: string, quantity: number, cost: number) => ({
    quantity_name: name,
    quantity,
    rate_nano_usd_per_million: 0,
    cost_nano_usd: cost,
  })
  const day = Date.UTC(2026, 9, 5)
  const anthropic = {
    provider: 'anthropic',
    dialect: 'anthropic',
    served_model: 'claude-sonnet-4-5',
    quantities: { in_text: 3, in_cache_read: 50, out_text: 7 },
    line_items: [line('in_text', 3, big), line('in_cache_read', 50, 0), line('out_text', 7, 0)],
    cost_nano_usd: big,
  } as const
  await untilInserted(
    await record(projectId, [
      { ...anthropic, line_items: [...anthropic.line_items], admitted_at_ms: day },
      { ...anthropic, line_items: [...anthropic.line_items], admitted_at_ms: day + 1000 },
      {
        quantities: { in_text: 10, out_text: 5, out_reasoning: 4 },
        line_items: [line('in_text', 10, 1), line('out_text', 5, 2)],
        cost_nano_usd: 3,
        admitted_at_ms: day + 86_400_000,
      },
    ]),
  )
  const answer = await get(`/accounts/projects/${projectId}/usage`, key)
  assert.equal(answer.statusCode, 200)
  assert.match(answer.body, /"price":18014398\.509481982[,}]/, 'two prices beyond a float, added without one')
  const rows = answer.json().usage as { provider: string; type: string; total: number; cost_nano_usd: string }[]
  assert.deepEqual(
    rows.map(row => [row.provider, row.type, row.total, row.cost_nano_usd]),
    [
      ['anthropic', 'input_tokens', 6, '18014398509481982'],
      ['anthropic', 'cache_read_input_tokens', 100, '0'],
      ['anthropic', 'output_tokens', 14, '0'],
      ['openai', 'input_tokens', 10, '1'],
      ['openai', 'output_tokens', 5, '2'],
    ],
  )
  for (const [interval, starts] of [
    ['hour', ['2026-10-05T00:00:00.000Z', '2026-10-06T00:00:00.000Z']],
    ['day', ['2026-10-05T00:00:00.000Z', '2026-10-06T00:00:00.000Z']],
    ['week', ['2026-10-05T00:00:00.000Z']],
    ['month', ['2026-10-01T00:00:00.000Z']],
  ] as const) {
    const cut = (await get(`/accounts/projects/${projectId}/usage?interval=${interval}`, key)).json().usage
    assert.deepEqual([...new Set(cut.map((row: { start: string }) => row.start))], starts, interval)
  }
  const span = `start=2026-10-06T00:00:00Z&end=2026-10-07T00:00:00Z&usage_type=output_tokens`
  const one = (await get(`/accounts/projects/${projectId}/usage?${span}`, key)).json().usage
  assert.deepEqual(
    one.map((row: { type: string; total: number; price: number }) => [row.type, row.total, row.price]),
    [['output_tokens', 5, 0.000000002]],
  )
})

test('a report is the same from rows, from rollups and from both, and as new as the rows', async () => {
  const { projectId, key } = await addProject()
  const hour = Date.UTC(2026, 7, 1)
  const some = (at: number) => [
    { admitted_at_ms: at, identity: { team_id: 'team_a', room: 'lobby' }, claimed: { app: 'codex' } },
    { admitted_at_ms: at + 3_600_000, served_model: 'gpt-4o', identity: { member_id: 'mem_1' } },
  ]
  const paths = [
    '',
    '?interval=hour',
    '?interval=day&team=team_a',
    '?model=gpt-4o',
    '?users=mem_1,mem_2',
    '?client=codex',
  ]
  const report = async (store = env.forRequests.sums) => {
    const reader = buildApp({
      ...env,
      ...env.forRequests,
      sums: store,
      credentials,
      recent,
      now: Date.now,
      trustedProxies: [],
      logger,
    })
    return Promise.all(
      paths.map(async path => {
        const answer = await get(`/accounts/projects/${projectId}/usage${path}`, key, reader)
        assert.equal(answer.statusCode, 200, answer.body)
        return answer.json().usage as object[]
      }),
    )
  }
  const fromRows = usageSumStore({ queries: env.clickhouse.queries, listDirtyHours: async () => undefined })
  const fromHours = usageSumStore({ queries: env.clickhouse.queries, listDirtyHours: async () => [] })

  await untilInserted(await record(projectId, some(hour)))
  await eventually(async () => (await env.rollups.listDirtyHours(projectId))?.length === 2)
  assert.deepEqual(
    await report(fromHours),
    paths.map(() => []),
    'nothing is rolled up yet',
  )
  assert.deepEqual(await report(), await report(fromRows))
  while ((await env.rollups.recomputeDirtyHours(100)) > 0);
  assert.deepEqual(await env.rollups.listDirtyHours(projectId), [])
  const all = await report(fromRows)
  assert.ok(all.every(rows => rows.length > 0))
  assert.deepEqual(await report(), all)
  assert.deepEqual(await report(fromHours), all)

  await untilInserted(await record(projectId, some(hour + 1000)))
  await eventually(async () => (await env.rollups.listDirtyHours(projectId))?.length === 2)
  const both = await report()
  assert.notDeepEqual(both, all)
  assert.deepEqual(both, await report(fromRows))
  while ((await env.rollups.recomputeDirtyHours(100)) > 0);
  assert.deepEqual(await report(fromHours), both, 'a recomputation replaces what an hour had')
  let asked = 0
  const counting = env.database.db.withPlugin({
    transformQuery: ({ node }) => {
      asked++
      return node
    },
    transformResult: async ({ result }) => result,
  })
  assert.equal(await rollupStore(counting, env.clickhouse.rollups).recomputeDirtyHours(100), 0)
  assert.equal(asked, 1, 'where no hour is dirty, nothing is asked but that')
})

test('what the simulator answered is summed apart and says so, from rows and from rollups, and the sum stays the same', async () => {
  const { projectId, key } = await addProject()
  const hour = Date.UTC(2026, 6, 1)
  const called = (served_by: string, cost_nano_usd: number): UsageOverrides => ({
    admitted_at_ms: hour + cost_nano_usd,
    identity: { member_id: 'mem_1' },
    served_by,
    cost_nano_usd,
    requested_model: 'gpt-5.4',
    served_model: 'gpt-5.4',
    quantities: { in_text: 100 },
  })
  const events = await record(projectId, [called('simulator', 1_000), called('openai', 30), called('simulator', 200)])
  await untilInserted(events)
  await eventually(async () => (await env.rollups.listDirtyHours(projectId))?.length === 1)

  const row = { project_id: projectId, provider: 'openai', model: 'gpt-5.4', type: 'input_tokens' }
  const paid = { ...row, total: 100, price: 0.00000003, cost_nano_usd: '30' }
  const simulated = { ...row, total: 200, price: 0.0000012, cost_nano_usd: '1200', served_by: 'simulator' }
  const own = await addSession(projectId, 'mem_1', ['llm:invoke', 'usage:read-own'])
  const check = async () => {
    const path = `/accounts/projects/${projectId}`
    for (const [url, token] of [
      [`${path}/usage`, key],
      [`${path}/usage?provider=openai&model=gpt-5.4`, key],
      [`${path}/llm-proxy/usage`, own],
    ] as const)
      assert.deepEqual((await get(url, token)).json(), { usage: [paid, simulated] }, url)
    const start = new Date(hour).toISOString()
    assert.deepEqual((await get(`${path}/usage?interval=hour`, key)).json(), {
      usage: [
        { ...paid, start },
        { ...simulated, start },
      ],
    })
  }
  await check()
  while ((await env.rollups.recomputeDirtyHours(100)) > 0);
  await check()
  const total = events.reduce((sum, event) => sum + event.cost_nano_usd, 0)
  assert.equal(total, Number(paid.cost_nano_usd) + Number(simulated.cost_nano_usd))
  const listed = (await get(`/accounts/projects/${projectId}/usage/events`, key)).json().events
  assert.deepEqual(
    listed.map((event: { served_by: string }) => event.served_by),
    ['simulator', 'simulator', 'openai'],
    'events use the same word',
  )
})

test('events can be filtered by every dimension', async () => {
  const { projectId, key } = await addProject()
  const keyId = randomUUID()
  const base = Date.UTC(2026, 9, 1)
  const events = await record(projectId, [
    { admitted_at_ms: base, served_model: 'gpt-4o', status: 'failed', http_status: 500 },
    { admitted_at_ms: base + 1000, identity: { key_id: keyId, team_id: 'team_a' } },
    { admitted_at_ms: base + 2000, identity: { member_id: 'mem_1', room: 'lobby' }, claimed: { app: 'codex' } },
  ])
  await untilInserted(events)
  const ids = async (query: string) => {
    const answer = await get(`/accounts/projects/${projectId}/usage/events?${query}`, key)
    assert.equal(answer.statusCode, 200, answer.body)
    return answer
      .json()
      .events.map((event: { event_id: string }) => events.findIndex(e => e.event_id === event.event_id))
  }
  assert.deepEqual(await ids(''), [2, 1, 0], 'newest first')
  assert.deepEqual(await ids('model=gpt-4o'), [0])
  assert.deepEqual(await ids('status=failed'), [0])
  assert.deepEqual(await ids(`key=${keyId}`), [1])
  assert.deepEqual(await ids('team=team_a'), [1])
  assert.deepEqual(await ids('member=mem_1'), [2])
  assert.deepEqual(await ids('room=lobby'), [2])
  assert.deepEqual(await ids('client=codex'), [2])
  assert.deepEqual(await ids('start=2026-10-01T00:00:01Z&end=2026-10-01T00:00:02Z'), [1])
  const foreign = Buffer.from(`usage-events ${randomUUID()}\n${base}.${randomUUID()}`).toString('base64url')
  const wrong = ['page_size=0', 'page_size=501', 'continuation_token=nonsense', `continuation_token=${foreign}`]
  for (const query of [...wrong, 'start=soon', 'status=fine', 'unknown=1'])
    assert.equal((await get(`/accounts/projects/${projectId}/usage/events?${query}`, key)).statusCode, 400, query)
})

test('an event is answered with all its facts, and its money as text', async () => {
  const { projectId, key } = await addProject()
  const [event] = await record(projectId, [
    { raw_usage: { prompt_tokens: 100, nested: { a: [1, null] } }, claimed: { tags: { ticket: 'A-1' } } },
  ])
  assert.ok(event)
  await untilInserted([event])
  const [found] = (await get(`/accounts/projects/${projectId}/usage/events`, key)).json().events
  assert.deepEqual(found.raw_usage, event.raw_usage)
  assert.deepEqual(found.line_items, event.line_items)
  assert.deepEqual(found.quantities, event.quantities)
  assert.deepEqual(found.provenance, event.provenance)
  assert.deepEqual(found.tags, { ticket: 'A-1' })
  assert.equal(found.cost_nano_usd, String(event.cost_nano_usd))
  assert.equal(found.admitted_at, new Date(event.admitted_at_ms).toISOString())
  assert.equal(found.member_id, null)
})

test('what is odd about an event’s numbers and what of its cost was assumed is told, and events are found by a doubt', async () => {
  const { projectId, key } = await addProject()
  const assumedLine = {
    quantity_name: 'out_audio',
    quantity: 10,
    rate_nano_usd_per_million: 100_000,
    cost_nano_usd: 1,
    assumed_from: 'gpt-realtime',
  }
  const events = await record(projectId, [
    { doubts: ['usage_shrank', 'output_above_limit'] },
    { doubts: ['usage_missing'] },
    { unpriced_policy: 'assume_max', assumed: true, line_items: [assumedLine], cost_nano_usd: 1 },
  ])
  await untilInserted(events)
  const [odd, missing, assumed] = events.map(event => event.event_id)
  const list = async (query: string): Promise<Record<string, unknown>[]> =>
    (await get(`/accounts/projects/${projectId}/usage/events?${query}`, key)).json().events
  const ids = async (query: string) => (await list(query)).map(event => event.event_id)
  assert.deepEqual(await ids('doubt=usage_shrank'), [odd])
  assert.deepEqual(await ids('doubt=output_above_limit'), [odd])
  assert.deepEqual(await ids('doubt=usage_missing'), [missing])
  assert.deepEqual(await ids('doubt=tier_not_asked'), [])
  const facts = (event: Record<string, unknown> | undefined) => [event?.doubts, event?.assumed, event?.unpriced_policy]
  const expected = new Map([
    [odd, [['usage_shrank', 'output_above_limit'], false, null]],
    [missing, [['usage_missing'], false, null]],
    [assumed, [[], true, 'assume_max']],
  ])
  const all = await list('')
  assert.equal(all.length, expected.size)
  for (const event of all) assert.deepEqual(facts(event), expected.get(String(event.event_id)))
  const [event] = events
  const call = (await get(`/api/calls/${event?.call_id}`, key)).json()
  assert.deepEqual(facts(call.attempts[0]), expected.get(odd))
})

test('a row that was written before doubts were told has none', async () => {
  const { projectId, key } = await addProject()
  const [event] = await record(projectId, [{ doubts: ['usage_missing'] }])
  assert.ok(event)
  await untilInserted([event])
  const [row] = await env.rows.listUsage({ projectId }, undefined, 1)
  const { doubts: _, assumed: __, unpriced_policy: ___, ...before } = row ?? {}
  const eventId = randomUUID()
  await env.clickhouse.writer.insert('usage_raw_v1', [{ ...before, event_id: eventId }], eventId)
  const { events } = (await get(`/accounts/projects/${projectId}/usage/events`, key)).json()
  const found = events.find((one: { event_id: string }) => one.event_id === eventId)
  assert.deepEqual([found.doubts, found.assumed, found.unpriced_policy], [[], false, null])
})

test('pages follow each other without a gap or a repeat, also where times are equal and events arrive meanwhile', async () => {
  const { projectId, key } = await addProject()
  const base = Date.UTC(2026, 8, 1)
  const events = await record(
    projectId,
    Array.from({ length: 25 }, (_, n) => ({ admitted_at_ms: base + Math.floor(n / 10) })),
  )
  await untilInserted(events)
  const seen: string[] = []
  let token: string | null = ''
  while (token !== null) {
    const query: string = token === '' ? '' : `&continuation_token=${token}`
    const page = (await get(`/accounts/projects/${projectId}/usage/events?page_size=4${query}`, key)).json()
    seen.push(...page.events.map((event: { event_id: string }) => event.event_id))
    token = page.continuation_token
    if (seen.length === 8) await untilInserted(await record(projectId, [{ admitted_at_ms: base + 60_000 }]))
  }
  assert.equal(seen.length, events.length)
  assert.deepEqual(new Set(seen), new Set(events.map(event => event.event_id)))
})

test('a call can be looked up before it is inserted, refused ones too', async () => {
  const { projectId, key } = await addProject()
  const unread = { ...env.rows, findCallAttempts: async () => [] }
  const blind = buildApp({ ...env, rows: unread, credentials, recent, now: Date.now, trustedProxies: [], logger })
  const [event] = await record(projectId, [{}])
  assert.ok(event)
  const refusedId = randomUUID()
  await env.publishRefused({
    call_id: refusedId,
    gateway_id: 'gw_1',
    refused_at_ms: Date.now(),
    identity: event.identity,
    claimed: {},
    dialect: 'openai',
    endpoint: 'chat.completions',
    reason: 'budget_spent',
    http_status: 429,
    count: 1,
  })
  const call = await eventually(async () => {
    const answer = await get(`/api/calls/${event.call_id}`, key, blind)
    return answer.statusCode === 200 && answer.json()
  })
  assert.equal(call.attempts[0].event_id, event.event_id)
  assert.equal(call.cost_nano_usd, '1000000')
  const refused = await eventually(async () => {
    const answer = await get(`/api/calls/${refusedId}`, key, blind)
    return answer.statusCode === 200 && answer.json()
  })
  assert.deepEqual([refused.outcome, refused.refusals[0].reason], ['refused', 'budget_spent'])

  // From the store alone, as after a restart.
  await untilInserted([event])
  const fresh = buildApp({
    ...env,
    ...env.forRequests,
    credentials,
    recent: recentCalls(),
    now: Date.now,
    trustedProxies: [],
    logger,
  })
  const { attempts, limits } = (await get(`/api/calls/${event.call_id}`, key, fresh)).json()
  assert.equal(attempts.length, 1)
  assert.deepEqual(limits, { complete: false, budgets: [], stops: [], said_no: null }, 'no budget service is here')
  const inProject = `/accounts/projects/${projectId}/calls/${event.call_id}`
  assert.deepEqual((await get(inProject, key, fresh)).json().attempts, attempts)
  await eventually(async () => (await get(`/api/calls/${refusedId}`, key, fresh)).statusCode === 200)
})

test('a project, its events and its calls do not exist for the key of another project', async () => {
  const mine = await addProject()
  const other = await addProject()
  const [event] = await record(other.projectId, [{}])
  assert.ok(event)
  await untilInserted([event])
  for (const url of [
    `/accounts/projects/${other.projectId}/usage`,
    `/accounts/projects/${other.projectId}/usage/events`,
    `/api/calls/${event.call_id}`,
    `/accounts/projects/${other.projectId}/calls/${event.call_id}`,
    `/accounts/projects/${mine.projectId}/calls/${event.call_id}`,
    `/api/calls/${randomUUID()}`,
  ])
    assert.equal((await get(url, mine.key)).statusCode, 404, url)
  assert.deepEqual((await get(`/accounts/projects/${mine.projectId}/usage`, mine.key)).json(), { usage: [] })
  assert.equal((await get(`/api/calls/${event.call_id}`, other.key)).statusCode, 200)
})

test('usage needs a credential and the permission to read it', async () => {
  const { projectId } = await addProject()
  const member = await addKey(projectId, 'member')
  const [event] = await record(projectId, [{}])
  assert.ok(event)
  await untilInserted([event])
  for (const url of [
    `/accounts/projects/${projectId}/usage`,
    `/accounts/projects/${projectId}/usage/events`,
    `/api/calls/${event.call_id}`,
  ]) {
    assert.equal((await get(url)).statusCode, 401, url)
    assert.equal((await get(url, 'ma-no-such-key-at-all')).statusCode, 401, url)
    assert.equal((await get(url, member)).statusCode, url.startsWith('/api') ? 404 : 403, url)
  }
  const token = randomUUID() + randomUUID()
  await sessions.put(hashCredential(token), {
    member_id: 'mem_admin',
    account_id: 'acct_test',
    account_admin: true,
    projects: {},
    expires_at_ms: Date.now() + 60_000,
  })
  await eventually(() => credentials.findSessionByHash(hashCredential(token)))
  assert.equal((await get(`/accounts/projects/${projectId}/usage`, token)).statusCode, 200)
  assert.equal((await get(`/api/calls/${event.call_id}`, token)).statusCode, 200)
})

test('who may read no more reads their own usage, and that of a team they own, and is told so of the rest', async () => {
  const { projectId } = await addProject()
  const known = await projects.get(projectId)
  assert.ok(known)
  const teams = [
    { team_id: 'team_1', name: 'One', owner_member_id: 'mem_owner' },
    { team_id: 'team_2', name: 'Two' },
  ]
  await projects.put(projectId, { ...known, version: 2, teams })
  await eventually(() => credentials.teamsOwnedBy(projectId, 'mem_owner').length === 1)
  const sessionOf = (memberId: string, held: string[]) => addSession(projectId, memberId, held)
  const of = (member_id: string, team_id: string): UsageOverrides => ({ identity: { member_id, team_id } as never })
  const events = await record(projectId, [of('mem_a', 'team_1'), of('mem_b', 'team_1'), of('mem_b', 'team_2')])
  await untilInserted(events)
  const path = `/accounts/projects/${projectId}`
  const idsOf = async (query: string, token: string) => {
    const answer = await get(`${path}/usage/events?${query}`, token)
    if (answer.statusCode !== 200) return answer.statusCode
    return answer
      .json<{ events: { event_id: string }[] }>()
      .events.map(({ event_id }) => event_id)
      .sort()
  }
  const [a, b1, b2] = events.map(({ event_id }) => event_id)
  const mine = await sessionOf('mem_a', ['llm:invoke', 'usage:read-own'])
  assert.deepEqual(await idsOf('', mine), [a])
  assert.deepEqual(await idsOf('member=mem_a', mine), [a])
  assert.equal(await idsOf('member=mem_b', mine), 403)
  assert.deepEqual(await idsOf('team=team_1', mine), [a], 'of a team one does not own: one’s own part')
  assert.equal((await get(`${path}/usage?users=mem_a,mem_b`, mine)).statusCode, 403)
  const callsOf = (event: UsageRecordedData | undefined) => `/api/calls/${event?.call_id}`
  assert.equal((await get(callsOf(events[0]), mine)).statusCode, 200)
  assert.equal((await get(callsOf(events[1]), mine)).statusCode, 404)
  const own = await get(`${path}/llm-proxy/usage`, mine)
  const reported = await get(`${path}/usage`, mine)
  assert.deepEqual([own.statusCode, own.json()], [200, reported.json()])

  const owner = await sessionOf('mem_owner', ['usage:read-own', 'usage:read-team'])
  assert.deepEqual(await idsOf('team=team_1', owner), [a, b1].sort())
  assert.deepEqual(await idsOf('team=team_2', owner), [])
  assert.deepEqual(await idsOf('', owner), [])
  assert.equal((await get(`${path}/llm-proxy/usage`, owner)).statusCode, 403, 'without access to the proxy')
  const reader = await sessionOf('mem_r', ['usage:read', 'usage:read-own'])
  assert.deepEqual(await idsOf('', reader), [a, b1, b2].sort())
  assert.equal(await idsOf('', await sessionOf('mem_n', [])), 403)
})

test('a crawl over every route as every role of another project reads nothing, also where no query names a project', async () => {
  const canary = 'canary-of-the-other-project'
  const theirs = { projectId: randomUUID(), accountId: 'acct_other' }
  const own = await addProject()
  const ofTheirs: UsageOverrides = {
    identity: { account_id: theirs.accountId, room: canary, member_id: canary },
    requested_model: canary,
    served_model: canary,
  }
  const [event] = await record(theirs.projectId, [ofTheirs])
  assert.ok(event)
  await record(own.projectId, [{}])
  await untilInserted([event])
  const credentialsOf: Record<string, string> = { developer: own.key }
  for (const role of ['member', 'admin'] as const) credentialsOf[role] = await addKey(own.projectId, role)

  const { queries } = env.clickhouse
  /** Its SQL without a word about projects, and nothing that memory knows. */
  let forgotten = 0
  const forgetful: ClickhousePool = {
    ...queries,
    query: (sql, params) =>
      queries.query(
        sql.replaceAll(/project_id (?:= \{project:UUID\}|in \{projects:Array\(UUID\)\})/g, () => {
          forgotten++
          return 'true'
        }),
        params,
      ),
  }
  const crawl = async (pool: ClickhousePool) => {
    const { askMetBudgets } = env
    const parts = { credentials, recent: recentCalls(), askMetBudgets, now: Date.now, trustedProxies: [], logger }
    const routes = buildApp({ ...env.requestStores(pool), ...parts })
    const operations = operationsOf((await routes.inject({ url: '/api/openapi/analytics.json' })).json())
    const leaks: string[] = []
    for (const pid of [theirs.projectId, own.projectId]) {
      const found = await crawlRoutes({
        operations: operations.filter(({ path }) => path.includes('{')),
        credentials: credentialsOf,
        call: async (method, url, key) => {
          const headers = { authorization: `Bearer ${key}` }
          const answer = await routes.inject({ method: method as 'GET', url, headers })
          return { status: answer.statusCode, body: answer.body }
        },
        places: { pid, call_id: event.call_id },
        canary,
        mayAnswer: ({ path }) => pid === own.projectId && path.includes('{pid}'),
      })
      assert.ok(found.requests >= 10, `${found.requests} requests`)
      leaks.push(...found.leaks)
    }
    return leaks
  }
  assert.deepEqual(await crawl(tenantQueries(queries)), [])
  assert.deepEqual(await crawl(tenantQueries(forgetful)), [])
  assert.ok(forgotten >= 5, `${forgotten} conditions`)
  // Whoever reads calls looks them up by account; what they may read of it is cut to their projects behind that.
  const withoutWall = await crawl(forgetful)
  assert.ok(withoutWall.filter(leak => leak.startsWith('read: ')).length >= 3, withoutWall.join('\n'))
  await assert.rejects(tenantQueries(queries).query('select 1'), /does not say for whom/)
})

test('every table with rows of projects stands behind the wall', async () => {
  const rows = await env.clickhouse.queries.query<{ table: string; hasAccount: number }>(
    `select table, max(name = 'account_id') as hasAccount from system.columns
    where database = currentDatabase() group by table having max(name = 'project_id') = 1 order by table`,
  )
  const found = Object.fromEntries(rows.map(row => [row.table, row.hasAccount === 1 ? 'account_id' : undefined]))
  assert.deepEqual(found, { ...tenantTables })
})

test('while ClickHouse is away routes say so, and calls of the last moment can still be looked up', async () => {
  const { projectId, key } = await addProject()
  const [event] = await record(projectId, [{}])
  assert.ok(event)
  await untilInserted([event])
  const away = await openClickhouse({ url: 'http://127.0.0.1:1' })
  env.defer(() => away.close())
  const queries = queriesForRoutes(away.queries)
  const cut = buildApp({
    rows: usageRowStore(away.writer, queries),
    refused: refusedRowStore(away.writer, queries),
    sums: usageSumStore({ queries, listDirtyHours: env.rollups.listDirtyHours }),
    credentials,
    recent,
    askMetBudgets: env.askMetBudgets,
    now: Date.now,
    trustedProxies: [],
    logger,
  })
  for (const path of ['usage', 'usage/events']) {
    const answer = await get(`/accounts/projects/${projectId}/${path}`, key, cut)
    assert.deepEqual([answer.statusCode, answer.json().error.code], [503, 'usage_store_unavailable'])
  }
  assert.equal((await get(`/api/calls/${event.call_id}`, key, cut)).statusCode, 200)
  assert.equal((await get(`/api/calls/${randomUUID()}`, key, cut)).statusCode, 503)
})
