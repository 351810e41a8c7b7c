import type { simulate as simulateFunction } from '@sluice/leases/simulation'
import { seededRandom } from '../random.ts'
import type { Outcome } from '../scenario.ts'
import { tellProgress } from './tell-progress.ts'

/** Which lives of hard budgets are simulated: one a schedule, until all have run or one breaks a promise. */
export interface Schedules {
  schedules: number
  gateways: number
  /** Of the first; each has a seed of its own. */
  seed: number
}

/** What {@link runSchedules} runs: that of the package, or of a copy of it that makes a mistake. */
export type Simulate = typeof simulateFunction

/** Simulates whole lives of hard budgets. */
export function runSchedules(simulate: Simulate, { schedules, gateways, seed }: Schedules): Outcome {
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
  return {
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
}
