import assert from 'node:assert/strict'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { openBucket } from '@sluice/bus'
import { Stop } from '@sluice/contracts'
import { homeOfBudget, windowAt } from '@sluice/leases'
import { transact } from '@sluice/postgres'
import { metricsText } from '@sluice/telemetry'
import { eventually, sized } from '@sluice/test-env'
import { sql } from 'kysely'
import { SMTPServer } from 'smtp-server'
import { Webhook } from 'standardwebhooks'
import { claimDeliveries, finishAttempt } from '../src/alerts/delivery-store.ts'
import { findWaitingAlerts } from '../src/alerts/waiting-store.ts'
import { findBudget } from '../src/budget-store.ts'
import { crossLimits } from '../src/cross-limits-store.ts'
import { applyBalances, listBalanceStops } from '../src/project-balance-store.ts'
import { applyUsage } from '../src/usage-store.ts'
import { fileScope, openService, startService } from './budget-service.ts'
import { leaseClient } from './lease-client.ts'

interface Mail {
  to: string[]
  raw: string
}
const mails: Mail[] = []
/** What the mail server answers to a message; 0: it takes it. */
const mailServer = { refuses: 0 }
const smtp = new SMTPServer({
  disabledCommands: ['AUTH', 'STARTTLS'],
  onData(stream, session, done) {
    const chunks: Buffer[] = []
    stream.on('data', chunk => chunks.push(chunk))
    stream.on('end', () => {
      mails.push({
        to: session.envelope.rcptTo.map(({ address }) => address),
        raw: Buffer.concat(chunks).toString(),
      })
      if (mailServer.refuses === 0) return done()
      done(Object.assign(new Error('secret words of the server'), { responseCode: mailServer.refuses }))
    })
  },
})
await new Promise<void>(resolve => smtp.listen(0, '127.0.0.1', resolve))
fileScope.after(() => smtp.close())
const smtpUrl = `smtp://127.0.0.1:${(smtp.server.address() as AddressInfo).port}`

const env = await openService(fileScope, {
  alertPollMs: 100,
  mail: { url: smtpUrl, from: 'Sluice <alerts@sluice.example>' },
})
// A second instance beside the first: whatever both do at once is done once.
await startService(fileScope, env)
let gateways = 0

interface Heard {
  headers: IncomingHttpHeaders
  body: string
  event: { id: string; type: string; subject?: string; data: Record<string, unknown> }
}

/** A receiver of webhooks, which answers with what it is told to, and keeps what it hears. */
async function newReceiver() {
  const heard: Heard[] = []
  const state = { status: 200, silent: false }
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', chunk => chunks.push(chunk))
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString()
      heard.push({ headers: request.headers, body, event: JSON.parse(body) })
      if (!state.silent)
        response.writeHead(state.status, { location: '/elsewhere' }).end('secret words of the receiver')
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  fileScope.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook?token=t`, heard, state }
}

/** A project with a webhook, and budgets in it. */
async function newAlerting() {
  const { projectId, call } = await env.newProject()
  const receiver = await newReceiver()
  const path = `${projectId}/budgets`
  const created = await eventually(async () => {
    const answer = await call('POST', `${path}/alert-destinations`, {
      kind: 'webhook',
      name: 'Hook',
      url: receiver.url,
    })
    return answer.status === 401 ? undefined : answer
  })
  assert.equal(created.status, 201, JSON.stringify(created.body))
  const newBudget = async (body: object) => {
    const answer = await call('POST', path, { name: 'Spend', unit: 'usd', window: 'month', limit: '1.00', ...body })
    assert.equal(answer.status, 201, JSON.stringify(answer.body))
    return answer.body as { id: string; resets_at: string }
  }
  const get = async (id: string) => (await call('GET', `${path}/${id}`)).body
  const alerts = async () => (await call('GET', `${path}/alerts`)).body.alerts
  const told = () => receiver.heard.map(({ event }) => event.data)
  const spend = (...nanoUsd: number[]) =>
    env.send(
      projectId,
      nanoUsd.map(cost_nano_usd => ({ cost_nano_usd })),
    )
  return { projectId, call, path, receiver, destination: created.body, newBudget, get, alerts, told, spend }
}

/** Time for whatever should not come. */
const quiet = () => new Promise(resolve => setTimeout(resolve, 250))
const cents = (count: number) => count * 10_000_000

test('each threshold is told once, signed; a jump over several is one message; redelivery and two instances tell nothing twice', async () => {
  const { projectId, destination, receiver, newBudget, get, told, spend } = await newAlerting()
  const { id, resets_at } = await newBudget({ thresholds: [80, 50, 100, 120] })
  await spend(cents(49))
  await eventually(async () => (await get(id)).spent === '0.49')
  const { range, events } = await spend(cents(35))
  await eventually(() => receiver.heard.length === 1)
  const [first] = receiver.heard
  const verified = new Webhook(destination.secret).verify(first?.body ?? '', first?.headers as Record<string, string>)
  assert.deepEqual(verified, first?.event)
  assert.deepEqual(
    [first?.headers['content-type'], first?.headers['webhook-id'], first?.event.type, first?.event.subject],
    ['application/cloudevents+json', first?.event.id, 'budget.threshold-crossed.v1', id],
  )
  const { threshold, thresholds, spent, spent_percent, limit, copy, project_id } = first?.event.data ?? {}
  assert.deepEqual(
    { threshold, thresholds, spent, spent_percent, limit, copy, project_id, resets_at: first?.event.data.resets_at },
    {
      threshold: 80,
      thresholds: [50, 80],
      spent: '0.84',
      spent_percent: 84,
      limit: '1.00',
      copy: null,
      project_id,
      resets_at,
    },
  )
  assert.equal(project_id, projectId)
  // The same numbers of the same series once more, and the same events in other borders.
  const again = { streamSeq: 1, subject: 'usage.recorded.v1.0', kind: 'recorded' as const, range }
  const body = Buffer.from(events.map(event => JSON.stringify(event)).join('\n'))
  await applyUsage(env.db, [{ ...again, body }], windowAt, Date.now())
  await spend(cents(10), cents(7))
  await eventually(() => receiver.heard.length === 2)
  await spend(cents(30), cents(500))
  await eventually(() => receiver.heard.length === 3)
  await quiet()
  assert.deepEqual(
    told().map(data => data.thresholds),
    [[50, 80], [100], [120]],
  )
  assert.deepEqual(
    (await get(id)).fired.map(({ threshold: each }: { threshold: number }) => each),
    [50, 80, 100, 120],
  )
})

test('a hard budget tells of what is settled, never of what is only held', async () => {
  const { projectId, receiver, newBudget, get, told } = await newAlerting()
  const { id } = await newBudget({
    unit: 'requests',
    limit: '100',
    window: 'total',
    mode: 'hard',
    thresholds: [50, 90],
  })
  const gateway = leaseClient(
    env.gateway,
    `gw_alert_${++gateways}`,
    1,
    homeOfBudget({ budget_id: id, scope: { project: projectId } }),
  )
  await gateway.ask({ budgetId: id, want: 95 })
  assert.equal((await get(id)).held, '95')
  await gateway.report(gateway.totals(1, id, { granted: 95, settled_total: 60 }))
  await eventually(() => receiver.heard.length === 1)
  await gateway.report(gateway.totals(1, id, { granted: 95, settled_total: 60, version: 2 }))
  await gateway.report(
    gateway.totals(1, id, { granted: 95, settled_total: 70, returned_total: 25, done: true, version: 3 }),
  )
  await eventually(async () => (await get(id)).spent === '70')
  await quiet()
  assert.deepEqual(
    told().map(({ thresholds, spent }) => [thresholds, spent]),
    [[[50], '60']],
  )
})

test('each seat tells for itself, a shared pool beside them too', async () => {
  const { projectId, receiver, newBudget, told, get } = await newAlerting()
  const seats = await newBudget({ name: 'Seats', per: 'member' })
  const pool = await newBudget({ name: 'Pool', limit: '2.00', thresholds: [100] })
  const of = (member: string, cost_nano_usd: number) => ({ identity: { member_id: member }, cost_nano_usd })
  await env.send(projectId, [of('mem_a', cents(60)), of('mem_b', cents(70)), of('mem_a', cents(41))])
  await eventually(() => receiver.heard.length === 1)
  await env.send(projectId, [of('mem_b', cents(31)), of('mem_a', cents(1))])
  await eventually(() => receiver.heard.length === 3)
  await quiet()
  assert.deepEqual(
    told()
      .map(({ budget_id, copy, threshold }) => [budget_id, copy, threshold])
      .sort(([, a], [, b]) => String(a).localeCompare(String(b))),
    [
      [seats.id, 'mem_a', 100],
      [seats.id, 'mem_b', 100],
      [pool.id, null, 100],
    ],
  )
  const { copies } = await get(seats.id)
  assert.ok(copies.every(({ fired }: { fired: unknown[] }) => fired.length === 1))
})

test('a lowered limit tells at once; a raise takes nothing back and brings nothing again; each window tells anew', async () => {
  const { projectId, call, path, receiver, newBudget, get, told, spend } = await newAlerting()
  const { id } = await newBudget({ limit: '10.00', window: 'hour', thresholds: [80, 100] })
  await spend(cents(400))
  await eventually(async () => (await get(id)).spent === '4.00')
  await call('PATCH', `${path}/${id}`, { limit: '5.00' })
  await eventually(() => receiver.heard.length === 1)
  const until = new Date(Date.now() + 600_000).toISOString()
  await call('POST', `${path}/${id}/raises`, { amount: '5.00', until, reason: 'A long day' })
  await spend(cents(450))
  await eventually(async () => (await get(id)).spent === '8.50')
  await spend(cents(200))
  await eventually(() => receiver.heard.length === 2)
  // The raise is over, and with it all thresholds are passed once more.
  await env.db
    .updateTable('budget_raises')
    .set({ until_ms: Date.now() - 1 })
    .where('budget_id', '=', id)
    .execute()
  await eventually(async () => (await get(id)).raises.length === 0 && (await get(id)).limit_in_force === '5.00')
  await new Promise(resolve => setTimeout(resolve, 1_200))
  assert.deepEqual(
    told().map(({ thresholds }) => thresholds),
    [[80], [100]],
  )
  // An event of the hour that is over: its own window tells, an older one is left alone.
  await env.db.updateTable('budgets').set({ counts_from_ms: 0 }).where('budget_id', '=', id).execute()
  const { startMs } = windowAt('hour', 'UTC', Date.now())
  const at = (admitted_at_ms: number) => ({ cost_nano_usd: cents(450), admitted_at_ms })
  await env.send(projectId, [at(startMs - 1), at(startMs - 2 * 3_600_000 - 1)])
  await eventually(() => receiver.heard.length === 3)
  await quiet()
  assert.deepEqual([told().length, told()[2]?.window_started_at], [3, new Date(startMs - 3_600_000).toISOString()])
})

test('a limit that is lowered for thousands of copies is lowered, and each of them is told of', async () => {
  const { call, path, newBudget, destination } = await newAlerting()
  const { id } = await newBudget({
    mode: 'alert',
    per: 'participant',
    window: 'total',
    limit: '10.00',
    thresholds: [100],
  })
  await call('PATCH', `${path}/alert-destinations/${destination.id}`, { enabled: false })
  const { body: deaf } = await call('POST', `${path}/alert-destinations`, {
    kind: 'webhook',
    name: 'Hook',
    url: 'http://127.0.0.1:1/',
  })
  // Of thousands there is more than one statement takes parameters.
  const copies = sized({ small: 1_500, full: 6_000 })
  await sql`insert into budget_windows (budget_id, copy, window_start_ms, window_end_ms, spent, updated_at_ms)
    select ${id}, 'p' || n, 0, null, ${cents(200)}, ${Date.now()} from generate_series(1, ${copies}::int) n`.execute(
    env.db,
  )
  assert.equal((await call('PATCH', `${path}/${id}`, { limit: '2.00' })).status, 200)
  const count = sql<{ alerts: number; deliveries: number }>`select count(distinct alert_id)::int as alerts,
    count(*)::int as deliveries from alerts join alert_deliveries using (alert_id)
    where budget_id = ${id} and destination_id = ${deaf.id}`
  // Who sends so many has no time for a new connection to the database, for seconds where the machine is slow.
  const { rows } = await eventually(() => count.execute(env.db))
  assert.deepEqual(rows, [{ alerts: copies, deliveries: copies }])
  await call('DELETE', `${path}/alert-destinations/${deaf.id}`)
})

async function countGivenUp(): Promise<number> {
  const [, count] =
    /^sluice_budget_alert_attempts_total\{kind="webhook",outcome="given_up"\} (\d+)$/m.exec(await metricsText()) ?? []
  assert.ok(count, 'it is told from the beginning')
  return Number(count)
}

test('what a receiver refuses comes again under the same id, its words are kept nowhere, and it can be sent again by hand', async () => {
  const { call, path, receiver, destination, newBudget, alerts, spend } = await newAlerting()
  await newBudget({ thresholds: [100] })
  receiver.state.status = 503
  await spend(cents(100))
  await eventually(() => receiver.heard.length === 1)
  const waiting = await eventually(async () => {
    const [alert] = await alerts()
    return alert?.deliveries[0].last_error ? alert : undefined
  })
  const [delivery] = waiting.deliveries
  assert.deepEqual(
    [delivery.state, delivery.attempts, delivery.last_status, delivery.last_error],
    ['waiting', 1, 503, 'The receiver answered 503.'],
  )
  assert.ok(Date.parse(delivery.next_attempt_at) > Date.now() + 2_000)
  const again = `${path}/alerts/${waiting.id}/deliveries/${delivery.id}/send-again`
  assert.deepEqual(
    [(await call('POST', again)).status, (await call('POST', again)).body.error.code],
    [409, 'delivery_waits'],
  )
  receiver.state.status = 302
  await env.db.updateTable('alert_deliveries').set({ next_at_ms: 0 }).where('delivery_id', '=', delivery.id).execute()
  await eventually(() => receiver.heard.length === 2)
  receiver.state.status = 410
  await eventually(async () => (await alerts())[0].deliveries[0].last_status === 302)
  const before = await countGivenUp()
  await env.db.updateTable('alert_deliveries').set({ next_at_ms: 0 }).where('delivery_id', '=', delivery.id).execute()
  await eventually(async () => (await alerts())[0].deliveries[0].state === 'given_up')
  const [givenUp] = await env.toldTrail(destination.id, 'alert-destination.alert-given-up')
  assert.equal(await countGivenUp(), before + 1, 'of which the alarm hears')
  const about = { alert_id: waiting.id, delivery_id: delivery.id, attempts: 3, error: 'The receiver answered 410.' }
  assert.deepEqual([givenUp?.actor_kind, givenUp?.after], ['system', about])
  receiver.state.status = 200
  assert.equal((await call('POST', again)).status, 202)
  const [inTrail] = await env.toldTrail(destination.id, 'alert-destination.alert-sent-again')
  assert.deepEqual(inTrail?.after, { alert_id: waiting.id, delivery_id: delivery.id })
  await eventually(async () => (await alerts())[0].deliveries[0].state === 'delivered')
  assert.deepEqual([...new Set(receiver.heard.map(({ headers }) => headers['webhook-id']))], [waiting.id])
  assert.equal(receiver.heard.length, 4)
  assert.ok(!JSON.stringify(await alerts()).includes('secret words'))
  const { body } = await call('GET', `${path}/audit`)
  assert.deepEqual(
    body.entries.map(({ action }: { action: string }) => action),
    ['destination-created', 'created', 'alert-given-up', 'alert-sent-again'],
  )
  assert.ok(!JSON.stringify(body).includes('token=t') && !JSON.stringify(body).includes('whsec_'))
})

test('a destination that does not answer keeps no other one waiting', async () => {
  const slow = await newAlerting()
  slow.receiver.state.silent = true
  for (let number = 0; number < 5; number++) await slow.newBudget({ name: `Spend ${number}`, thresholds: [50, 60, 70] })
  await slow.spend(cents(50))
  await eventually(() => slow.receiver.heard.length >= 2)
  const fast = await newAlerting()
  await fast.newBudget({ thresholds: [100] })
  await fast.spend(cents(100))
  await eventually(() => fast.receiver.heard.length === 1)
  // Two instances have two attempts under way each.
  assert.ok(slow.receiver.heard.length <= 4, `${slow.receiver.heard.length}`)
  slow.receiver.state.silent = false
  await slow.call('PATCH', `${slow.path}/alert-destinations/${slow.destination.id}`, { enabled: false })
  const states = (await slow.alerts()).flatMap((alert: { deliveries: { state: string }[] }) => alert.deliveries)
  assert.deepEqual([...new Set(states.map(({ state }: { state: string }) => state))], ['cancelled'])
})

test('an account with many destinations that do not answer keeps no other account waiting', async () => {
  const due = Date.now() + 7_200_000
  const queue = (account: string, count: number) =>
    sql`
    with made as (insert into alert_destinations (destination_id, account_id, kind, name, url, enabled, created_at_ms)
      select ${account} || '_' || n, ${account}, 'webhook', 'Hook', 'http://127.0.0.1:1/', true, 0
      from generate_series(1, ${count}::int) n returning destination_id),
    told as (insert into alerts (alert_id, account_id, kind, document, at_ms)
      values (${account}, ${account}, 'test', '{}', 0) returning alert_id)
    insert into alert_deliveries (delivery_id, alert_id, destination_id, state, attempts, next_at_ms, created_at_ms)
      select destination_id, alert_id, destination_id, 'waiting', 0, ${due}::bigint, 0 from made, told`.execute(env.db)
  await queue('acct_a_greedy', 60)
  await queue('acct_b_other', 1)
  // What other tests have left waiting has a turn, too.
  const claimed = await claimDeliveries(env.db, 'one', { busy: [], ofEach: 1, most: 3, nowMs: due })
  const ids = claimed.map(({ deliveryId }) => deliveryId)
  assert.ok(ids.includes('acct_b_other_1') && ids.some(id => id.startsWith('acct_a_greedy')), String(ids))
})

test('what is under way at another process waits for nobody until its time is over', async () => {
  const due = Date.now() + 7_200_000
  // All that waits then: of other tests, too.
  while ((await claimDeliveries(env.db, 'one', { busy: [], ofEach: 100, most: 1_000, nowMs: due })).length > 0);
  assert.equal((await findWaitingAlerts(env.db, due)).deliveries, false)
  assert.equal((await findWaitingAlerts(env.db, due + 61_000)).deliveries, true)
})

test('an attempt is one process’s alone until its time is over, and what another has taken since is not written over', async () => {
  const { spend, newBudget, receiver, alerts } = await newAlerting()
  receiver.state.status = 500
  await newBudget({ thresholds: [100] })
  await spend(cents(100))
  const delivery = await eventually(async () =>
    (await alerts())[0]?.deliveries.find((one: { last_error: unknown }) => one.last_error),
  )
  const hour = Date.now() + 3_600_000
  const take = async (claim: string, nowMs: number) =>
    // Whatever other tests have left to be sent.
    (await claimDeliveries(env.db, claim, { busy: [], ofEach: 5, most: 1_000, nowMs })).find(
      one => one.deliveryId === delivery.id,
    )
  const [one, other] = await Promise.all([take('one', hour), take('other', hour)])
  assert.equal([one, other].filter(Boolean).length, 1)
  const held = one ?? other
  assert.ok(held)
  assert.equal(await take('third', hour + 59_000), undefined)
  const third = await take('third', hour + 61_000)
  assert.equal(third?.attempts, 3)
  await finishAttempt(env.db, held, { ok: true, httpStatus: 200 }, hour)
  assert.equal((await alerts())[0].deliveries[0].state, 'waiting', 'its time was over')
  await finishAttempt(env.db, third, { ok: true, httpStatus: 200 }, hour)
  assert.equal((await alerts())[0].deliveries[0].state, 'delivered')
})

test('a new secret signs beside the old one until its time is over; a secret is shown once', async () => {
  const { call, path, receiver, destination } = await newAlerting()
  const place = `${path}/alert-destinations/${destination.id}`
  const rotated = await call('POST', `${place}/rotate-secret`, { overlap_seconds: 60 })
  assert.equal(rotated.status, 200)
  assert.notEqual(rotated.body.secret, destination.secret)
  assert.match(rotated.body.secret, /^whsec_/)
  const shown = await call('GET', place)
  assert.deepEqual([shown.body.secrets.length, shown.body.secret], [2, undefined])
  const tested = await call('POST', `${place}/test`)
  assert.equal(tested.status, 202)
  const [message] = await eventually(() => receiver.heard.length === 1 && receiver.heard)
  for (const secret of [destination.secret, rotated.body.secret])
    new Webhook(secret).verify(message?.body ?? '', message?.headers as Record<string, string>)
  assert.equal(message?.event.type, 'alert.test.v1')
  const { body } = await eventually(async () => {
    const alert = await call('GET', `${path}/alerts/${tested.body.alert_id}`)
    return alert.body.deliveries[0].state === 'delivered' && alert
  })
  assert.deepEqual([body.kind, body.budget_id, body.deliveries[0].attempts], ['test', null, 1])
  await call('POST', `${place}/rotate-secret`, { overlap_seconds: 0 })
  await call('POST', `${place}/test`)
  const [, second] = await eventually(() => receiver.heard.length === 2 && receiver.heard)
  for (const secret of [destination.secret, rotated.body.secret])
    assert.throws(() => new Webhook(secret).verify(second?.body ?? '', second?.headers as Record<string, string>))
  const { rows } = { rows: await env.db.selectFrom('alert_destinations').selectAll().execute() }
  assert.ok(!JSON.stringify(rows).includes('whsec_'), 'sealed where it is kept')
})

test('destinations are of their project or of one budget, in pages, made once, and refused where they make no sense', async () => {
  const { call, path, receiver, destination, newBudget, spend, alerts } = await newAlerting()
  const one = await newBudget({ name: 'One', thresholds: [50] })
  await newBudget({ name: 'Other', thresholds: [50] })
  const quietOne = await newReceiver()
  const ofOne = { kind: 'webhook', name: 'Of one', url: quietOne.url, budget_id: one.id }
  const key = { 'idempotency-key': `destination ${one.id}`.replace(' ', '-') }
  const made = await call('POST', `${path}/alert-destinations`, ofOne, key)
  const again = await call('POST', `${path}/alert-destinations`, ofOne, key)
  assert.deepEqual([made.status, again.body], [201, made.body])
  await spend(cents(60))
  await eventually(() => receiver.heard.length === 2 && quietOne.heard.length === 1)
  assert.equal(quietOne.heard[0]?.event.subject, one.id)
  assert.equal((await call('GET', `${path}/alerts?budget=${one.id}`)).body.alerts.length, 1)
  const page = await call('GET', `${path}/alerts?page_size=1`)
  const next = await call('GET', `${path}/alerts?page_size=1&continuation_token=${page.body.continuation_token}`)
  assert.deepEqual([...page.body.alerts, ...next.body.alerts], await alerts())
  const listed = await call('GET', `${path}/alert-destinations?page_size=1`)
  assert.deepEqual(
    [listed.body.destinations.map(({ id }: { id: string }) => id), typeof listed.body.continuation_token],
    [[destination.id], 'string'],
  )
  for (const [body, code] of [
    [{ kind: 'webhook', name: 'x' }, 'invalid_destination'],
    [{ kind: 'email', name: 'x', url: receiver.url }, 'invalid_destination'],
    [{ kind: 'webhook', name: 'x', url: 'ftp://example.com' }, 'invalid_url'],
    [{ kind: 'webhook', name: 'x', url: 'https://user:word@example.com' }, 'invalid_url'],
    [{ kind: 'webhook', name: 'x', url: receiver.url, budget_id: 'bud_none' }, 'budget_not_found'],
    [{ kind: 'email', name: 'x', addresses: ['a@example.com\r\nbcc: b@example.com'] }, 'invalid_request'],
    [{ kind: 'email', name: 'x', addresses: [] }, 'invalid_request'],
  ] as const) {
    const answer = await call('POST', `${path}/alert-destinations`, body)
    assert.equal(answer.body.error.code, code, JSON.stringify(body))
  }
  for (const body of [
    { thresholds: [0] },
    { thresholds: [1_001] },
    { thresholds: [1.5] },
    { thresholds: Array.from({ length: 21 }, (_, index) => index + 1) },
  ])
    assert.equal((await call('PATCH', `${path}/${one.id}`, body)).status, 400, JSON.stringify(body))
  const rate = { name: 'Rate', unit: 'requests', window: 'minute', limit: '5' }
  assert.equal((await call('POST', path, { ...rate, thresholds: [80] })).body.error.code, 'thresholds_of_rate_limit')
  assert.deepEqual((await call('POST', path, rate)).body.thresholds, [])
  assert.equal((await call('DELETE', `${path}/alert-destinations/${destination.id}`)).status, 204)
  assert.equal((await call('GET', `${path}/alert-destinations/${destination.id}`)).status, 404)
})

/** Fifteen at once, wave after wave: more of them on a busy machine wait longer for a connection than a request may. */
async function inWaves<Answer>(count: number, ask: () => Promise<Answer>): Promise<Answer[]> {
  const answers: Answer[] = []
  while (answers.length < count)
    answers.push(...(await Promise.all(Array.from({ length: Math.min(15, count - answers.length) }, ask))))
  return answers
}

test('a project has so many destinations however many are made at once, and sends no more by hand than an hour allows', async () => {
  const { call, path, destination, newBudget, spend, alerts } = await newAlerting()
  const deaf = { kind: 'webhook', name: 'Deaf', url: 'http://127.0.0.1:1/' }
  // Those that are there already, of which a small run writes most itself.
  const before = sized({ small: 40, full: 0 })
  await sql`insert into alert_destinations
    select copy.* from alert_destinations as one, generate_series(1, ${before}::int) as n, jsonb_populate_record(one,
      jsonb_build_object('destination_id', one.destination_id || '_' || n)) as copy
    where one.destination_id = ${destination.id}`.execute(env.db)
  const made = await inWaves(60 - before, () => call('POST', `${path}/alert-destinations`, deaf))
  const codes = made.map(({ status, body }) => (status === 201 ? status : body.error.code))
  assert.deepEqual(
    [codes.filter(code => code === 201).length, codes.filter(code => code === 'too_many_destinations').length],
    [49 - before, 11],
  )
  await sql`delete from alert_destinations where destination_id like ${`${destination.id}\\_%`}`.execute(env.db)
  for (const { status, body } of made) if (status === 201) await call('DELETE', `${path}/alert-destinations/${body.id}`)
  await newBudget({ thresholds: [100] })
  await spend(cents(100))
  const told = await eventually(async () => {
    const [alert] = await alerts()
    const delivery = alert?.deliveries.find(({ state }: { state: string }) => state === 'delivered')
    return delivery && `${alert.id}/deliveries/${delivery.id}`
  })
  const sendTest = () => call('POST', `${path}/alert-destinations/${destination.id}/test`)
  assert.equal((await sendTest()).status, 202)
  await sql`insert into audit_entries overriding user value
    select one.* from audit_entries as one, generate_series(1, ${before}::int)
    where destination_id = ${destination.id} and action = 'destination-tested'`.execute(env.db)
  const tests = await inWaves(61 - before, sendTest)
  assert.equal(tests.filter(({ status }) => status === 202).length, 59 - before)
  const again = await call('POST', `${path}/alerts/${told}/send-again`)
  assert.equal(again.body.error.code, 'too_many_by_hand')
  await call('DELETE', `${path}/alert-destinations/${destination.id}`)
  const other = await call('POST', `${path}/alert-destinations`, deaf)
  const refused = await call('POST', `${path}/alert-destinations/${other.body.id}/test`)
  assert.deepEqual([refused.status, refused.body.error.code], [409, 'too_many_by_hand'])
  await call('DELETE', `${path}/alert-destinations/${other.body.id}`)
})

test('alerts of a budget over all projects of an account go to the account’s destinations', async () => {
  const { projectId, receiver, spend } = await newAlerting()
  const admin = await env.newPerson('acct_test', true)
  const ofAccount = await newReceiver()
  await eventually(async () => (await admin('GET', 'budgets')).status === 200)
  const made = await admin('POST', 'budgets/alert-destinations', { kind: 'webhook', name: 'All', url: ofAccount.url })
  assert.deepEqual([made.status, made.body.project_id], [201, null])
  const { body: budget } = await admin('POST', 'budgets', {
    name: 'All',
    unit: 'usd',
    window: 'total',
    limit: '1.00',
    per: 'project',
    starts_at: 'now',
  })
  await spend(cents(100))
  await eventually(() => ofAccount.heard.length === 1)
  await quiet()
  assert.deepEqual([ofAccount.heard[0]?.event.data.copy, ofAccount.heard[0]?.event.data.project_id], [projectId, null])
  assert.equal(receiver.heard.length, 0)
  const { body } = await admin('GET', 'budgets/alerts')
  assert.deepEqual(
    body.alerts.map(({ budget_id }: { budget_id: string }) => budget_id),
    [budget.id],
  )
  await admin('DELETE', `budgets/${budget.id}`)
})

test('what billing tells of a prepaid project holds by its version, in whatever order and however often it comes', async () => {
  const { projectId } = await env.newProject()
  const stops = await openBucket(env.gateway, 'stops', Stop)
  const key = `balance_${projectId}`
  const told = (version: number, exhausted: boolean) => ({
    project_id: projectId,
    account_id: 'acct_test',
    version,
    exhausted,
    balance_nano_usd: 0,
    at_ms: Date.now(),
  })
  assert.equal(await applyBalances(env.db, [told(2, true)]), 1)
  const stop = await eventually(() => stops.get(key))
  assert.deepEqual([stop.kind, stop.scope], ['balance_exhausted', { project: projectId }])
  assert.equal(await applyBalances(env.db, [told(1, false), told(2, true)]), 0)
  assert.ok((await listBalanceStops(env.db)).has(key), 'what a start puts back where the bucket has lost it')
  assert.equal(await applyBalances(env.db, [told(4, false), told(3, true)]), 1)
  await eventually(async () => (await stops.get(key)) === undefined)
  assert.equal(await applyBalances(env.db, [told(3, true), told(4, false)]), 0)
  assert.ok(!(await listBalanceStops(env.db)).has(key))
})

test('a mailbox is told once, in words; what the server refuses for now comes again under the same id', async () => {
  const { call, path, newBudget, alerts, spend } = await newAlerting()
  const addresses = ['ops@example.com', 'cfo@example.com']
  const made = await call('POST', `${path}/alert-destinations`, { kind: 'email', name: 'People', addresses })
  assert.deepEqual([made.status, made.body.secret, made.body.addresses], [201, null, addresses])
  await newBudget({ name: 'Größe & <b>Ruhm</b>', thresholds: [50, 100] })
  mailServer.refuses = 451
  await spend(cents(70))
  await eventually(() => mails.length === 1)
  const delivery = await eventually(async () => {
    const [alert] = await alerts()
    return alert?.deliveries.find((one: { destination_kind: string; last_error: string | null }) => {
      return one.destination_kind === 'email' && one.last_error
    })
  })
  assert.deepEqual([delivery.state, delivery.last_error], ['waiting', 'The mail server answered 451.'])
  mailServer.refuses = 0
  await env.db.updateTable('alert_deliveries').set({ next_at_ms: 0 }).where('delivery_id', '=', delivery.id).execute()
  await eventually(() => mails.length === 2)
  await quiet()
  const [first, second] = mails
  const idOf = (mail?: Mail) => /^Message-ID: (.*)$/im.exec(mail?.raw ?? '')?.[1]
  assert.deepEqual([idOf(first), idOf(second)], [idOf(second), `<${delivery.id}@sluice.example>`])
  assert.deepEqual([second?.to, mails.length], [addresses, 2])
  const { raw } = second ?? { raw: '' }
  for (const words of [
    /^From: Sluice <alerts@sluice\.example>/m,
    /^Subject: =\?UTF-8\?/m,
    /^Auto-Submitted: auto-generated/m,
  ])
    assert.match(raw, words)
  assert.match(raw, /Spent: \$0\.70 of \$1\.00 \(70 %\)/)
  const [, html = ''] = raw.replaceAll('=\r\n', '').split('Content-Type: text/html')
  assert.ok(html.includes('&lt;b&gt;Ruhm') && !html.includes('<b>'), html)
  assert.ok(!JSON.stringify(await alerts()).includes('secret words'))
})

test('money that will not last is told of once a window, where the budget asks for it', async () => {
  const { projectId, receiver, newBudget, get } = await newAlerting()
  const { id } = await newBudget({ thresholds: [], forecast_alert: true })
  const budget = await findBudget(env.db, { accountId: 'acct_test', projectId }, id)
  assert.ok(budget)
  const window = windowAt('month', 'UTC', Date.now())
  const lengthMs = (window.endMs ?? 0) - window.startMs
  const spentBy = (share: number, amount: number) => {
    const state = { budgetId: id, copy: '', window, settled: 0n, unresolved: 0n, outstanding: 0n }
    const atMs = window.startMs + Math.floor(lengthMs * share)
    return transact(env.db, trx =>
      crossLimits(
        trx,
        new Map([[id, budget]]),
        { suspects: [], spent: [{ budget, window: { ...state, amount: BigInt(amount) } }] },
        atMs,
      ),
    )
  }
  await spentBy(0.05, cents(30))
  await spentBy(0.5, cents(40))
  await quiet()
  assert.equal(receiver.heard.length, 0, 'too early, and within the limit')
  await spentBy(0.5, cents(60))
  await spentBy(0.6, cents(90))
  await eventually(() => receiver.heard.length === 1)
  await quiet()
  const [{ event } = assert.fail()] = receiver.heard
  assert.deepEqual([receiver.heard.length, event.type, event.data.spent], [1, 'budget.forecast-exceeded.v1', '0.60'])
  const exhaustedAt = window.startMs + Math.floor((Math.floor(lengthMs / 2) * 100) / 60)
  assert.equal(event.data.exhausted_at, new Date(exhaustedAt).toISOString())
  assert.equal((await get(id)).forecast, null, 'nothing is spent of it in truth')
})

/** A project with a webhook, a mailbox and a budget that somebody may ask more of. */
async function newAsking() {
  const alerting = await newAlerting()
  const { projectId, call, path } = alerting
  const addresses = [`owner-${projectId}@example.com`]
  await call('POST', `${path}/alert-destinations`, { kind: 'email', name: 'Owners', addresses })
  const { id } = await alerting.newBudget({ name: 'Team A' })
  const newAsker = async (owner: object) => {
    const asker = await env.newKey(projectId, 'member', owner)
    await eventually(async () => (await asker('GET', `${projectId}/llm-proxy/requests`)).status === 200)
    return async (reason = 'The job is not done.') => {
      const answer = await asker('POST', `${projectId}/llm-proxy/requests`, { budget_id: id, amount: '5', reason })
      assert.equal(answer.status, 201, JSON.stringify(answer.body))
      return answer.body as { id: string }
    }
  }
  const heardOf = (type: string) =>
    alerting.receiver.heard.map(({ event }) => event).filter(event => event.type === type)
  const mailsTo = (address: string) =>
    mails.filter(({ to }) => to.includes(address)).map(({ raw }) => raw.replaceAll('=\r\n', ''))
  return { ...alerting, id, owners: addresses[0] ?? '', newAsker, heardOf, mailsTo }
}

/** Those that an event tells of. */
function requestsIn(event: Heard['event'] | undefined): Record<string, unknown>[] {
  return (event?.data.requests ?? []) as Record<string, unknown>[]
}

interface ShownDelivery {
  destination_id: string
  destination_kind: string
  state: string
  last_error: string | null
}

test('a request for more is told where the alerts of its budget go, and so is what became of it, whoever has asked by mail, too: each once', async () => {
  const { projectId, call, path, receiver, destination, id, owners, newAsker, heardOf, mailsTo, alerts } =
    await newAsking()
  const ann = `ann-${projectId}@example.com`
  env.mailboxes.set('mem_ann', ann)
  const ask = await newAsker({ name: 'laptop', member_id: 'mem_ann' })
  const request = await ask()
  await eventually(() => heardOf('budget-request.made.v1').length > 0)
  const [made] = heardOf('budget-request.made.v1')
  const { headers, body } = receiver.heard[0] ?? {}
  new Webhook(destination.secret).verify(body ?? '', headers as Record<string, string>)
  const [told] = requestsIn(made)
  const at = `https://sluice.example.com/accounts/projects/${projectId}/budgets/requests/${request.id}`
  assert.deepEqual(
    [made?.subject, made?.data.budget_name, told?.id, told?.amount, told?.key_name, told?.member_id, told?.approve],
    [id, 'Team A', request.id, '5.00', 'laptop', 'mem_ann', `${at}/approve`],
  )
  await eventually(() => mailsTo(owners).length > 0)
  assert.match(mailsTo(owners)[0] ?? '', /^\$5\.00 more of budget "Team A" is asked for\r$/m)

  const until = new Date(Date.now() + 600_000).toISOString()
  await call('POST', `${path}/requests/${request.id}/approve`, { amount: '2.50', until, word: 'Until tonight.' })
  await eventually(() => heardOf('budget-request.decided.v1').length > 0)
  const { state, granted, word, request: about } = heardOf('budget-request.decided.v1')[0]?.data ?? {}
  assert.deepEqual(
    [state, granted, word, (about as { id: string }).id],
    ['approved', '2.50', 'Until tonight.', request.id],
  )
  await eventually(() => mailsTo(ann).length > 0 && mailsTo(owners).length > 1)
  assert.match(mailsTo(ann)[0] ?? '', /^\$2\.50 more of budget "Team A" until /m)
  const declined = await ask()
  await eventually(() => heardOf('budget-request.made.v1').length === 2)
  await call('POST', `${path}/requests/${declined.id}/decline`, {})
  await eventually(() => mailsTo(ann).length > 1 && heardOf('budget-request.decided.v1').length > 1)
  assert.match(mailsTo(ann)[1] ?? '', /^The request for \$5\.00 more of budget "Team A" is declined\r$/m)
  await quiet()
  assert.deepEqual(
    [heardOf('budget-request.made.v1').length, heardOf('budget-request.decided.v1').length, mailsTo(ann).length],
    [2, 2, 2],
  )

  const all = await eventually(async () => {
    const shown: { kind: string; deliveries: ShownDelivery[] }[] = await alerts()
    return shown.every(({ deliveries }) => deliveries.every(one => one.state === 'delivered')) && shown
  })
  const decision = all.find(({ kind }) => kind === 'decision')
  assert.deepEqual(decision?.deliveries.map(one => one.destination_kind).sort(), ['email', 'member', 'webhook'])
  assert.ok(!JSON.stringify(all).includes(ann), 'addresses of people are with accounts')
  // Whoever has asked is none of the destinations that there are to see and to change.
  const { body: listed } = await call('GET', `${path}/alert-destinations`)
  assert.deepEqual(listed.destinations.map(({ kind }: { kind: string }) => kind).sort(), ['email', 'webhook'])
  const asker = decision?.deliveries.find(one => one.destination_kind === 'member')?.destination_id
  assert.equal((await call('POST', `${path}/alert-destinations/${asker}/test`)).status, 404)
  assert.equal((await call('DELETE', `${path}/alert-destinations/${asker}`)).status, 404)
})

test('a destination hears of what it asks for; whoever has left is written to no more, and nobody is alarmed', async () => {
  const { call, path, destination, id, newAsker, heardOf, alerts, spend } = await newAsking()
  const other = await newReceiver()
  const only = { kind: 'webhook', name: 'Money', url: other.url, events: ['threshold', 'decision'] }
  const made = await call('POST', `${path}/alert-destinations`, only)
  assert.deepEqual([made.status, made.body.events], [201, ['threshold', 'decision']])
  const everything = ['threshold', 'forecast', 'request', 'decision']
  assert.deepEqual((await call('GET', `${path}/alert-destinations/${destination.id}`)).body.events, everything)
  for (const events of [[], ['test'], ['threshold', 'threshold']])
    assert.equal((await call('PATCH', `${path}/alert-destinations/${made.body.id}`, { events })).status, 400)
  const ask = await newAsker({ member_id: 'mem_gone' })
  const request = await ask()
  await eventually(() => heardOf('budget-request.made.v1').length === 1)
  await call('POST', `${path}/requests/${request.id}/decline`, { word: 'No.' })
  await eventually(() => other.heard.length === 1)
  assert.equal(other.heard[0]?.event.type, 'budget-request.decided.v1')
  const delivery = await eventually(async () => {
    const [decision] = (await alerts()) as { deliveries: ShownDelivery[] }[]
    return decision?.deliveries.find(one => one.destination_kind === 'member' && one.state !== 'waiting')
  })
  assert.deepEqual([delivery.state, delivery.last_error], ['cancelled', 'They are in the project no more.'])

  await call('PATCH', `${path}/alert-destinations/${made.body.id}`, { events: ['decision'] })
  await call('PATCH', `${path}/${id}`, { thresholds: [50] })
  await spend(cents(60))
  await eventually(() => heardOf('budget.threshold-crossed.v1').length === 1)
  await quiet()
  assert.equal(other.heard.length, 1)
})

test('requests that come thick are gathered: ten alerts an hour as they come, then one for all that have come meanwhile', async () => {
  const { id, newAsker, heardOf, alerts } = await newAsking()
  const told = () => heardOf('budget-request.made.v1').map(event => requestsIn(event).length)
  const askers = await Promise.all(Array.from({ length: 14 }, (_, number) => newAsker({ name: `key ${number}` })))
  for (const [number, ask] of askers.entries()) {
    await ask()
    if (number < 10) await eventually(() => told().length === number + 1)
  }
  await quiet()
  assert.deepEqual(told(), Array(10).fill(1))
  const elevenMinutesAgo = Date.now() - 11 * 60_000
  await env.db.updateTable('alerts').set({ at_ms: elevenMinutesAgo }).where('budget_id', '=', id).execute()
  await eventually(() => told().length === 11)
  await quiet()
  assert.deepEqual(told(), [...Array(10).fill(1), 4])
  assert.equal((await alerts()).length, 11)
})

test('of a budget over all projects the account’s destinations hear who has asked, and the project’s do not', async () => {
  const { projectId, call, heardOf } = await newAsking()
  const admin = await env.newPerson('acct_test', true)
  const ofAccount = await newReceiver()
  await eventually(async () => (await admin('GET', 'budgets')).status === 200)
  const made = await admin('POST', 'budgets/alert-destinations', { kind: 'webhook', name: 'All', url: ofAccount.url })
  const { body: budget } = await admin('POST', 'budgets', {
    name: 'All',
    unit: 'usd',
    window: 'month',
    limit: '1.00',
    thresholds: [],
  })
  const wish = { budget_id: budget.id, amount: '5', reason: 'x' }
  const { body: asked } = await call('POST', `${projectId}/llm-proxy/requests`, wish)
  await eventually(() => ofAccount.heard.length === 1)
  const [told] = requestsIn(ofAccount.heard[0]?.event)
  assert.deepEqual(
    [told?.id, told?.project_id, told?.approve],
    [asked.id, projectId, `https://sluice.example.com/accounts/budgets/requests/${asked.id}/approve`],
  )
  await admin('POST', `budgets/requests/${asked.id}/decline`, {})
  await eventually(() => ofAccount.heard.length === 2)
  await quiet()
  assert.deepEqual([heardOf('budget-request.made.v1'), heardOf('budget-request.decided.v1')], [[], []])
  await admin('DELETE', `budgets/${budget.id}`)
  await admin('DELETE', `budgets/alert-destinations/${made.body.id}`)
})
