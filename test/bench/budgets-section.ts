import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { startTestStack } from '@sluice/test-env'
import { makeBudgets, runWorkload, type WorkloadResult } from './lease-workload.ts'
import { takeAllCores, targetCore } from './processes.ts'
import type { SectionOptions } from './sections.ts'
import { short, type Table } from './table.ts'

/** What the money of a call costs by itself: the real wallet, no gateway around it. */
export function admission(options: SectionOptions): Table {
  const title = 'Hard budgets: admission with eight of them'
  options.say(title)
  const program = join(import.meta.dirname, 'admission-cost.ts')
  const calls = options.quick ? '50000' : '500000'
  const printed = execFileSync('taskset', ['-c', String(targetCore), process.execPath, program, calls], {
    encoding: 'utf8',
  })
  const { found, held, whole } = JSON.parse(printed) as { found: number; held: number; whole: number }
  return {
    title,
    note: 'CPU of one core a call, all that it needs being leased. Pools are found by the first of calls that are alike, and held of together by all of them. Wanted: less than 10 µs together.',
    columns: ['step', 'CPU µs/call'],
    rows: [
      ['its eight pools are found', short(found)],
      ['held, and given back unused', short(held)],
      ['held, and settled', short(whole)],
      ['found, held and settled', short(found + whole)],
    ],
  }
}

/** How seldom a call waits for a home, and for how long. */
export async function workload(options: SectionOptions): Promise<Table> {
  const size = options.quick
    ? { seats: 200, teams: 6, gateways: 4, everyMs: 15_000, seconds: 10 }
    : { seats: 2_000, teams: 60, gateways: 4, everyMs: 15_000, seconds: 40 }
  const title = `Hard budgets: ${size.seats} seats, a call each ${size.everyMs / 1_000} s, eight budgets, ${size.gateways} gateways`
  options.say(title)
  const cleanUps: (() => void | Promise<void>)[] = [takeAllCores()]
  const stack = await startTestStack(
    { after: clean => cleanUps.push(clean) },
    {
      ownPostgres: true,
      services: ['accounts', 'billing', 'budget', 'gateway'],
      env: { SLUICE_LOG_LEVEL: 'warn' },
    },
  )
  try {
    const row = (name: string, { calls, local, refused, localMicroseconds, askedMs }: WorkloadResult): string[] => [
      name,
      String(calls),
      `${((100 * local) / calls).toFixed(2)} %`,
      String(refused),
      short(localMicroseconds.p50),
      short(localMicroseconds.p99),
      short(askedMs.p50),
      short(askedMs.p99),
    ]
    const near = await runWorkload(stack, await makeBudgets(stack), size, 0)
    const far = await runWorkload(stack, await makeBudgets(stack), size, 200)
    return {
      title,
      note: 'The wallets of the gateways in one process, real NATS, budget service and PostgreSQL. Every seat has called at every gateway once before. A call can use $0.03, uses $0.008 and lasts 3 s; a seat has $25 a day. Wanted: 99 % local.',
      columns: ['home', 'calls', 'local', 'refused', 'local µs p50', 'p99', 'others wait ms p50', 'p99'],
      rows: [row('near', near), row('200 ms away', far)],
    }
  } finally {
    for (const clean of cleanUps.reverse()) await clean()
  }
}
