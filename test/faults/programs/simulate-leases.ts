/**
 * Simulates whole lives of hard budgets, one a schedule, until `schedules` have run or, where it is to look for a mistake, until
 * one breaks a promise. Prints the outcome as JSON.
 */
import { simulate } from '@sluice/leases/simulation'
import { seededRandom } from '../random.ts'
import type { Outcome } from '../scenario.ts'
import { tellProgress } from './tell-progress.ts'

const { schedules, gateways, seed } = JSON.parse(process.argv[2] ?? '{}') as {
  schedules: number
  gateways: number
  seed: number
}
const startedAt = performance.now()
const broken: string[] = []
const refused: Record<string, number> = {}
const sums = { calls: 0, local: 0, charged: 0, settled: 0, unresolved: 0 }
const progress = tellProgress(schedules, 'schedules')
let ran = 0
for (; ran < schedules && broken.length === 0; ran++) {
  progress(ran)
  const random = seededRandom(seed + ran)
  const between = (least: number, most: number): number => least + Math.floor(random() * (most - least + 1))
  const { violations, figures } = simulate({
    seed: seed + ran,
    gateways: between(2, gateways),
    budgets: between(1, 3),
    limit: between(100, 2_000),
    largestCall: between(10, 150),
    calls: between(20, 300),
    lastsMs: between(20, 120) * 1_000,
    gatewayKills: between(0, 5),
    homeKills: between(0, 6),
    cuts: between(0, 3),
  })
  for (const violation of violations.slice(0, 3)) broken.push(`seed ${seed + ran}, ${violation}`)
  sums.calls += figures.calls
  sums.local += figures.local
  sums.charged += figures.charged
  sums.settled += figures.settled
  sums.unresolved += figures.unresolved
  for (const [reason, count] of Object.entries(figures.refused)) refused[reason] = (refused[reason] ?? 0) + count
}
const outcome: Outcome = {
  figures: {
    schedules: ran,
    'calls that held money': sums.calls,
    'of them without asking': sums.local,
    'charged by the provider': sums.charged,
    settled: sums.settled,
    unresolved: sums.unresolved,
    refused: JSON.stringify(refused),
    seconds: ((performance.now() - startedAt) / 1000).toFixed(1),
  },
  kept: [
    {
      promise: 'no grant above a limit, no charge above a limit, at rest nothing held and every settlement once',
      kept: broken.length === 0,
      found: broken.length === 0 ? 'in no schedule' : broken.join('; '),
    },
    {
      promise: 'the schedules met what they are to show',
      kept: broken.length > 0 || Math.min(sums.calls, sums.local, sums.unresolved, refused.spent ?? 0) > 0,
      found: JSON.stringify({ ...sums, ...refused }),
    },
  ],
}
process.stdout.write(`${JSON.stringify(outcome)}\n`)
