import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { handedLeaseId, holderOf, type LeaseTotals, leaseIdOf, partitionOf } from '@sluice/contracts'
import { windowAt } from '@sluice/leases'
import type { Transaction } from '@sluice/postgres'
import { sized } from '@sluice/test-env'
import fc from 'fast-check'
import { sql } from 'kysely'
import { createBudget } from '../src/budget-change-store.ts'
import type { BudgetTables } from '../src/db/schema.ts'
import { type Command, type Named, namedBy, namingNothing } from '../src/homes/command.ts'
import { decideBatch, leaseIdsOf } from '../src/homes/decide-batch.ts'
import { loadHome } from '../src/homes/home-store.ts'
import { makeWindows } from '../src/window-store.ts'
import { fileScope, openBudgetDatabase } from './budget-service.ts'

const { db } = await openBudgetDatabase(fileScope, 1)

const projectId = randomUUID()
const home = partitionOf(projectId)
const nowMs = Date.now()
const budgetIds = ['bud_1', 'bud_2'] as const
const gatewayIds = ['gw_1', 'gw_2'] as const
const epochs = [1, 2] as const
const lastSeq = 4

/** Who may have which lease: those of runs, and what was handed over of one of them. */
const runLeases = gatewayIds.flatMap(gatewayId =>
  epochs.flatMap(epoch =>
    Array.from({ length: lastSeq }, (_, at) => ({
      leaseId: leaseIdOf(gatewayId, epoch, at + 1, 0),
      gatewayId: gatewayId as string,
      epoch: epoch as number,
      seq: at + 1,
    })),
  ),
)
const holders = [holderOf('batch', 'evt1'), holderOf('background', 'evt2')]
const handedLeases = runLeases
  .filter(({ gatewayId, epoch, seq }) => gatewayId === 'gw_1' && epoch === 1 && seq <= 2)
  .flatMap(({ leaseId, seq }) =>
    holders.map(holder => ({ leaseId: handedLeaseId(holder, leaseId), gatewayId: holder, epoch: 1, seq })),
  )
const possible = [...runLeases, ...handedLeases]
const leaseIds = possible.map(({ leaseId }) => leaseId)

const amount = fc.nat(12)
const unresolved = fc.constantFrom<Record<string, number>>({}, { att_1: 3 }, { att_1: 1, att_2: 2 })
const rowOf = fc.record({
  budget_id: fc.constantFrom(...budgetIds),
  settled: amount,
  returned: amount,
  unresolved: unresolved.map(amounts =>
    Object.fromEntries(Object.entries(amounts).map(([attempt, amount]) => [attempt, { amount, since_ms: 1 }])),
  ),
  version: fc.nat(3),
  state: fc.constantFrom('open', 'open', 'open', 'silent', 'closed'),
  given_up: fc.constantFrom<string[]>([], [], [], ['*'], ['att_1']),
  isThere: fc.constantFrom(true, true, false),
})
const rows = fc
  .tuple(...possible.map(() => rowOf))
  .map(all => all.map((row, at) => ({ ...row, ...possible[at] })).filter(({ isThere }) => isThere))

const who = fc.record({
  gateway_id: fc.constantFrom<string>(...gatewayIds),
  epoch: fc.constantFrom<number>(...epochs),
  at_ms: fc.constant(nowMs),
})
const someIds = fc.subarray(leaseIds)
/** What a gateway says of its own as a rule, and of others' now and then. */
const listOf = (gatewayId: string, epoch: number) => {
  const own = possible.filter(lease => lease.gatewayId === gatewayId && lease.epoch === epoch)
  const ids = own.map(({ leaseId }) => leaseId)
  return fc.oneof({ weight: 3, arbitrary: fc.subarray(ids) }, { weight: 1, arbitrary: someIds })
}
const seq = fc.integer({ min: 1, max: lastSeq + 1 })
const totals = fc.record({
  lease_id: fc.constantFrom(...leaseIds),
  budget_id: fc.constantFrom(...budgetIds),
  copy: fc.constant(''),
  window_start_ms: fc.constant(0),
  epoch: fc.constantFrom<number>(...epochs),
  granted: fc.constant(10),
  settled_total: amount,
  returned_total: amount,
  unresolved: unresolved.map(amounts =>
    Object.entries(amounts).map(([attempt_id, amount]) => ({ attempt_id, amount })),
  ),
  handed: fc.array(fc.record({ holder: fc.constantFrom(...holders), amount }), { maxLength: 1 }),
  version: fc.nat(4),
  done: fc.boolean(),
}) satisfies fc.Arbitrary<LeaseTotals>
const fewTotals = fc.array(totals, { maxLength: 3 })
const item = fc.record({
  budget_id: fc.constantFrom(...budgetIds),
  copy: fc.constant(''),
  window_start_ms: fc.constant(0),
  need: fc.nat(3),
  want: fc.integer({ min: 3, max: 20 }),
  ahead: fc.nat(5),
})

const heartbeat = who.chain(({ gateway_id, epoch, at_ms }) =>
  fc
    .record({
      idle: listOf(gateway_id, epoch).map(ids => ids.map((id): [string, number] => [id, 1])),
      whole: fc.option(
        fc.record(
          {
            from_seq: seq,
            below_seq: seq.map(below => below + 1),
            lease_ids: listOf(gateway_id, epoch),
            more: fc.constant(true as const),
            holders: fc.constant(true as const),
          },
          { requiredKeys: ['from_seq', 'below_seq', 'lease_ids'] },
        ),
        { nil: undefined },
      ),
    })
    .map(({ idle, whole }) => ({
      kind: 'heartbeat' as const,
      message: { gateway_id, epoch, at_ms, idle, ...(whole && { whole }) },
    })),
)
const holderOrGateway = fc.constantFrom<string>(...gatewayIds, ...holders)
const report = fc.tuple(who, holderOrGateway, fewTotals).map(([rest, gateway_id, leases]) => ({
  kind: 'report' as const,
  message: { ...rest, gateway_id, leases },
}))
const hello = fc
  .record({
    gateway_id: holderOrGateway,
    ended_epoch: fc.constantFrom<number>(...epochs),
    at_ms: fc.constant(nowMs),
    leases: fewTotals,
    more: fc.boolean(),
  })
  .map(message => ({ kind: 'hello' as const, message }))
const ask = fc.tuple(who, seq, fc.array(item, { minLength: 1, maxLength: 2 })).map(([rest, number, items]) => ({
  kind: 'ask' as const,
  message: { ...rest, seq: number, items },
  recalled: false,
}))
const batch = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: heartbeat },
    { weight: 2, arbitrary: report },
    { weight: 1, arbitrary: hello },
    { weight: 2, arbitrary: ask },
  ),
  { minLength: 1, maxLength: 5 },
)

const rolledBack = Symbol('rolled back')

/** All that commands come to where so much is loaded. */
async function decide(trx: Transaction<BudgetTables>, said: readonly object[], names: (of: Command[]) => Named) {
  const answers: unknown[] = []
  const commands = said.map(one => ({ ...one, receivedAt: 0, answer: (answer: unknown) => answers.push(answer) }))
  const { state, budgets } = await loadHome(trx, home, names(commands as unknown as Command[]))
  const before = new Map(state.pools)
  const about = { state, budgets, term: 1, nowMs, findWindow: windowAt, isRecovering: false }
  const batch = decideBatch(about, commands as unknown as Command[])
  for (const answer of batch.answers) answer()
  return {
    answers,
    recalls: batch.recalls.map(({ message }) => message),
    leases: new Map([...batch.leases].map(leaseId => [leaseId, state.leases.get(leaseId)])),
    pools: [...state.pools.values()].filter(pool => pool !== before.get(pool.key)).map(({ limit, ...pool }) => pool),
    gateways: state.gateways,
    heard: batch.gateways,
    listed: batch.listed,
    areHoldersTold: batch.areHoldersTold,
  }
}

test('a batch comes to the same whether it loads what it names, or everything that its home has', async () => {
  for (const budget_id of budgetIds)
    await createBudget(
      db,
      {
        budget_id,
        version: 1,
        name: 'Test',
        account_id: 'acct_test',
        scope: { project: projectId },
        unit: 'requests',
        limit: 600,
        window: 'total',
        time_zone: 'UTC',
        mode: 'hard',
        on_unknown: 'deny',
        created_at_ms: nowMs,
        thresholds: [],
        forecastAlert: false,
        projectId,
      },
      'now',
      { kind: 'member', id: 'mem_test' },
    )
  const window = windowAt('total', 'UTC', nowMs)
  await makeWindows(
    db,
    budgetIds.map(budgetId => ({ budgetId, copy: '', window, amount: 0n })),
    nowMs,
  )
  await sql`update budget_windows set leased_settled = 200, unresolved = 200, outstanding = 190`.execute(db)

  const known = fc.subarray([...gatewayIds])
  const scenario = fc.record({ rows, known, epoch: fc.constantFrom(...epochs), batches: fc.tuple(batch, batch, batch) })
  await fc.assert(
    fc.asyncProperty(scenario, async ({ rows, known, epoch, batches }) => {
      const leases = rows.map(({ leaseId, gatewayId, seq, isThere, ...row }) => ({
        home,
        lease_id: leaseId,
        ask_seq: seq,
        copy: '',
        window_start_ms: 0,
        gateway_id: gatewayId,
        granted: 10,
        granted_at_ms: nowMs,
        changed_at_ms: nowMs,
        ...row,
      }))
      await db
        .transaction()
        .execute(async trx => {
          await sql`with heard as (
              insert into lease_gateways select ${home}::int, gateway, ${epoch}::bigint, ${nowMs - 1_000}::bigint, 0
                from unnest(${known}::text[]) as gateway)
            insert into leases
              select * from jsonb_populate_recordset(null::leases, ${JSON.stringify(leases)}::jsonb)`.execute(trx)
          for (const said of batches) {
            const partly = await decide(trx, said, commands => namedBy(commands, leaseIdsOf))
            const whole = await decide(trx, said, commands => {
              const { pools } = namedBy(commands, leaseIdsOf)
              return { ...namingNothing(), pools, leaseIds }
            })
            assert.deepEqual(partly, whole)
          }
          throw rolledBack
        })
        .catch(error => {
          if (error !== rolledBack) throw error
        })
    }),
    { numRuns: sized({ small: 30, full: 300 }) },
  )
})
