import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { LeaseAnswer, LeaseAsk, LeaseReport, type LeaseTotals, leaseIdOf, partitionOf } from '@sluice/contracts'
import type { Hold } from '@sluice/leases'
import { startTestStack, type TestStack } from '@sluice/test-env'
import pg from 'pg'
import { LeasedGateway } from './leased-gateway.ts'
import { cpuMicroseconds, residentBytes, takeAllCores } from './processes.ts'
import type { SectionOptions } from './sections.ts'
import { percentile } from './statistics.ts'
import { short, type Table } from './table.ts'

const projects = 200
const gatewayCount = 4
/** Asked for at a time, as a call asks for its own: of one project. */
const together = 32
/** Of a call. */
const budgetsOfCall = 8
const askers = 16

interface BenchBudget {
  id: string
  home: number
}

/** One budget service with many budgets, each of which some gateway has a lease of. */
export async function budgetService(options: SectionOptions): Promise<Table> {
  const count = options.quick ? 10_000 : 100_000
  const title = `Hard budgets: ${count} active budgets on one budget service`
  options.say(title)
  const cleanUps: (() => void | Promise<void>)[] = [takeAllCores()]
  const stack = await startTestStack(
    { after: clean => cleanUps.push(clean) },
    { ownPostgres: true, services: ['accounts', 'budget'], env: { SLUICE_LOG_LEVEL: 'warn' } },
  )
  const rows: string[][] = []
  const say = (what: string, value: string) => {
    options.say(`${what}: ${value}`)
    rows.push([what, value])
  }
  const { budget: service } = stack.services
  const resident = () => `${short(residentBytes(service.pid ?? 0) / 1e6)} MB`
  try {
    await delay(3_000)
    say('resident memory without budgets', resident())
    const budgets = await insertBudgets(stack, count)
    await service.stop()
    say(
      'start, to ready (all of them are written to the bus)',
      `${short((await msOf(() => startAgain(stack))) / 1_000)} s`,
    )
    await delay(3_000)
    say('resident memory with all of them', resident())
    const gateways = Array.from(
      { length: gatewayCount },
      (_, at) => new LeasedGateway(stack.natsAdmin, `gw_many_${at}`, 0),
    )
    cleanUps.push(() => {
      for (const gateway of gateways) gateway.close()
    })
    const leasedMs = await msOf(() => leaseAll(gateways, budgets))
    say('each leased once', `${short(leasedMs / 1_000)} s, ${short((count * 1_000) / leasedMs)} grants/s`)
    const restMs = 10_000
    const before = cpuMicroseconds(service.pid ?? 0)
    await delay(restMs)
    say(
      'core used while gateways only say that they live',
      `${short((cpuMicroseconds(service.pid ?? 0) - before) / restMs / 10)} %`,
    )
    say('resident memory with all of them leased', resident())
    const asked = await askFor(stack, budgets, options.quick ? 5_000 : 10_000)
    say(
      `asks of ${budgetsOfCall} budgets, and settled`,
      `${short(asked.perSecond)} /s; p50 ${short(asked.p50)} ms, p99 ${short(asked.p99)} ms`,
    )
    await service.kill()
    const startMs = await msOf(() => startAgain(stack))
    const answeredMs = await msOf(() => untilAnswered(stack, budgets))
    say(
      'killed and started again: to ready, to the first grant',
      `${short(startMs / 1_000)} s, ${short((startMs + answeredMs) / 1_000)} s`,
    )
    return {
      title,
      note: `PostgreSQL, NATS and the four gateways' wallets on the same cores. ${projects} projects; each budget has a lease, which its gateway names where that has changed, and all of them each 30 s.`,
      columns: ['what', 'measured'],
      rows,
    }
  } finally {
    for (const clean of cleanUps.reverse()) await clean()
  }
}

async function msOf(work: () => Promise<unknown>): Promise<number> {
  const beganAt = performance.now()
  await work()
  return performance.now() - beganAt
}

async function startAgain(stack: TestStack): Promise<void> {
  await stack.services.budget.start()
  await stack.services.budget.untilReady(120_000)
}

/** As they stand after they were made by REST, one by one. */
async function insertBudgets(stack: TestStack, count: number): Promise<BenchBudget[]> {
  const ids = Array.from({ length: projects }, () => randomUUID())
  const client = new pg.Client({ connectionString: stack.databaseUrls.budget })
  await client.connect()
  try {
    await client.query(
      `insert into budget.budgets (budget_id, version, name, account_id, project_id, scope, unit, limit_amount, window_kind,
          time_zone, mode, hold, on_unknown, created_at_ms, counts_from_ms)
        select 'bud_many_' || n, 1, 'Bench ' || n, 'acct_bench', project, jsonb_build_object('project', project), 'usd',
          1000000000000000, 'total', 'UTC', 'hard', 'paced', '"deny"', $3, $3
        from generate_series(0, $2 - 1) n, lateral (select ($1::uuid[])[1 + n % $4] as project) p`,
      [ids, count, Date.now(), projects],
    )
    await client.query('analyze budget.budgets')
  } finally {
    await client.end()
  }
  return Array.from({ length: count }, (_, n) => ({ id: `bud_many_${n}`, home: partitionOf(ids[n % projects] ?? '') }))
}

/** By project, so that what is asked for together has one home. */
function byProject(budgets: readonly BenchBudget[]): BenchBudget[][] {
  return Array.from({ length: projects }, (_, at) => budgets.filter((_, n) => n % projects === at))
}

async function leaseAll(gateways: readonly LeasedGateway[], budgets: readonly BenchBudget[]): Promise<void> {
  const parts = byProject(budgets).flatMap(each =>
    Array.from({ length: Math.ceil(each.length / together) }, (_, at) =>
      each.slice(at * together, (at + 1) * together),
    ),
  )
  let next = 0
  const work = async (gateway: LeasedGateway): Promise<void> => {
    for (let at = next++; at < parts.length; at = next++) await callOnce(gateway, parts[at] ?? [], `call-${at}`)
  }
  await Promise.all(gateways.flatMap(gateway => Array.from({ length: 4 }, () => work(gateway))))
}

/** Holds a little of each and settles a part of it. */
async function callOnce(gateway: LeasedGateway, budgets: readonly BenchBudget[], attemptId: string): Promise<void> {
  const needs = budgets.map(({ id, home }) => {
    const pool = gateway.wallet.pool({
      budgetId: id,
      copy: '',
      windowStartMs: 0,
      windowEndMs: undefined,
      home,
      isConcurrent: false,
    })
    return { pool, want: 1_000_000, need: 1_000_000 }
  })
  for (;;) {
    const hold = await new Promise<Hold | undefined>(done =>
      gateway.line.wait(
        { attemptId, needs, done: waited => done(waited.outcome === 'held' ? waited.hold : undefined) },
        Date.now(),
      ),
    )
    if (!hold) continue
    gateway.wallet.settle(
      hold,
      needs.map(() => 400_000),
      false,
    )
    return
  }
}

/** Gateways that ask for each call, since they have no leases: as many asks as are answered. */
async function askFor(stack: TestStack, budgets: readonly BenchBudget[], ms: number) {
  const parts = byProject(budgets)
  const times: number[] = []
  const until = performance.now() + ms
  const work = async (gatewayId: string): Promise<void> => {
    for (let seq = 1; performance.now() < until; seq++) {
      const own = parts[Math.floor(Math.random() * parts.length)] ?? []
      const first = Math.floor(Math.random() * Math.max(1, own.length - budgetsOfCall))
      times.push(await msOf(() => askOnce(stack, gatewayId, seq, own.slice(first, first + budgetsOfCall))))
      await settleOnce(stack, gatewayId, seq, own.slice(first, first + budgetsOfCall))
    }
  }
  await Promise.all(Array.from({ length: askers }, (_, at) => work(`gw_asker_${at}`)))
  times.sort((a, b) => a - b)
  return { perSecond: (times.length * 1_000) / ms, p50: percentile(times, 0.5), p99: percentile(times, 0.99) }
}

const poolOf = ({ id }: BenchBudget) => ({ budget_id: id, copy: '', window_start_ms: 0 })

async function askOnce(
  stack: TestStack,
  gatewayId: string,
  seq: number,
  budgets: readonly BenchBudget[],
): Promise<void> {
  const items = budgets.map(budget => ({ ...poolOf(budget), need: 1_000, want: 1_000_000, ahead: 0 }))
  items.sort((a, b) => (a.budget_id < b.budget_id ? -1 : 1))
  const ask = LeaseAsk.encode({ gateway_id: gatewayId, epoch: 1, at_ms: Date.now(), seq, items })
  const home = budgets[0]?.home ?? 0
  const { data } = await stack.natsAdmin.request(LeaseAsk.subject(home), ask, { timeout: 10_000 })
  if (LeaseAnswer.decode(data).grants.length === 0) throw new Error(`ask ${seq} of ${gatewayId} was refused`)
}

async function settleOnce(
  stack: TestStack,
  gatewayId: string,
  seq: number,
  budgets: readonly BenchBudget[],
): Promise<void> {
  const sorted = [...budgets].sort((a, b) => (a.id < b.id ? -1 : 1))
  const leases = sorted.map(
    (budget, at): LeaseTotals => ({
      lease_id: leaseIdOf(gatewayId, 1, seq, at),
      ...poolOf(budget),
      epoch: 1,
      granted: 1_000_000,
      settled_total: 600_000,
      returned_total: 400_000,
      unresolved: [],
      version: 1,
      done: true,
    }),
  )
  const report = LeaseReport.encode({ gateway_id: gatewayId, epoch: 1, at_ms: Date.now(), leases })
  await stack.natsAdmin.request(LeaseReport.subject(budgets[0]?.home ?? 0), report, { timeout: 10_000 })
}

async function untilAnswered(stack: TestStack, budgets: readonly BenchBudget[]): Promise<void> {
  for (let seq = 1; ; seq++)
    try {
      await askOnce(stack, 'gw_after', seq, budgets.slice(0, 1))
      return
    } catch {
      await delay(20)
    }
}
