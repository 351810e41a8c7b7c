import { randomUUID } from 'node:crypto'
import { LeaseAsk, LeaseReport, type LeaseTotals, leaseIdOf, PARTITIONS, partitionOf } from '@sluice/contracts'
import { sharedPostgresVariable, startSharedPostgres } from '@sluice/test-env'
import { createBudget } from '../src/budget-change-store.ts'
import { openService } from './budget-service.ts'

/**
 * Grants of one instance: four gateways ask for eight budgets at a time, each with some asks under way, and settle them. By hand:
 * `node services/budget/test/bench-leases.ts [seconds] [asks under way a gateway]`. PostgreSQL and NATS run on the same machine.
 */
const seconds = Number(process.argv[2] ?? 10)
const together = Number(process.argv[3] ?? 8)
const gateways = 4
const projects = 40
const itemsOfAsk = 8

// Nobody ends it for a program that is no test.
const postgres = await startSharedPostgres()
process.env[sharedPostgresVariable] = postgres.url
const ends: (() => unknown)[] = [postgres.stop]
// As it is run: tests tidy up far more often.
const env = await openService(
  { after: end => void ends.push(end) },
  { rolloverIntervalMs: 5_000, windowIntervalMs: 100 },
)
try {
  const budgets: { home: number; ids: string[] }[] = []
  for (let project = 0; project < projects; project++) {
    const projectId = randomUUID()
    const ids = Array.from({ length: itemsOfAsk }, (_, at) => `bud_${project}_${at}`)
    for (const budget_id of ids)
      await createBudget(
        env.db,
        {
          budget_id,
          version: 1,
          name: 'Bench',
          account_id: 'acct_bench',
          scope: { project: projectId },
          unit: 'usd',
          limit: Number.MAX_SAFE_INTEGER,
          window: 'total',
          time_zone: 'UTC',
          mode: 'hard',
          on_unknown: 'deny',
          created_at_ms: Date.now(),
          thresholds: [],
          forecastAlert: false,
          projectId,
        },
        'now',
        { kind: 'member', id: 'mem_bench' },
      )
    budgets.push({ home: partitionOf(projectId), ids })
  }
  const times: number[] = []
  const until = performance.now() + seconds * 1_000
  const seqs = new Map<string, number>()
  async function work(gatewayId: string): Promise<void> {
    while (performance.now() < until) {
      const { home, ids } = budgets[Math.floor(Math.random() * projects)] ?? { home: 0, ids: [] }
      const seq = (seqs.get(gatewayId) ?? 0) + 1
      seqs.set(gatewayId, seq)
      const who = { gateway_id: gatewayId, epoch: 1, at_ms: Date.now() }
      const pool = (budget_id: string) => ({ budget_id, copy: '', window_start_ms: 0 })
      const items = ids.map(id => ({ ...pool(id), need: 1_000, want: 1_000_000, ahead: 0 }))
      const startedAt = performance.now()
      await env.gateway.connection.request(LeaseAsk.subject(home), LeaseAsk.encode({ ...who, seq, items }), {
        timeout: 10_000,
      })
      times.push(performance.now() - startedAt)
      const leases = ids.map(
        (id, at): LeaseTotals => ({
          lease_id: leaseIdOf(gatewayId, 1, seq, at),
          ...pool(id),
          epoch: 1,
          granted: 1_000_000,
          settled_total: 600_000,
          returned_total: 400_000,
          unresolved: [],
          version: 1,
          done: true,
        }),
      )
      await env.gateway.connection.request(LeaseReport.subject(home), LeaseReport.encode({ ...who, leases }), {
        timeout: 10_000,
      })
    }
  }
  const cpuBefore = process.cpuUsage()
  await Promise.all(Array.from({ length: gateways * together }, (_, index) => work(`gw_bench_${index % gateways}`)))
  const cpu = process.cpuUsage(cpuBefore)
  times.sort((a, b) => a - b)
  const at = (share: number) => (times[Math.floor(times.length * share)] ?? 0).toFixed(1)
  const asks = times.length / seconds
  console.log(
    `${Math.round(asks)} asks/s, ${Math.round(asks * itemsOfAsk)} grants/s over ${PARTITIONS} homes; answer p50 ${at(0.5)} ms, p99 ${at(0.99)} ms; ` +
      `CPU of service and askers ${((cpu.user + cpu.system) / 1_000 / times.length).toFixed(2)} ms an ask`,
  )
} finally {
  for (const end of ends.reverse()) await end()
}
