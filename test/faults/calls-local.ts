import { makeBudgets, runWorkload, type WorkloadResult, type WorkloadSize } from '../bench/lease-workload.ts'
import type { Outcome, Scenario, ScenarioRun } from './scenario.ts'

interface Size extends WorkloadSize {
  /** Of a million calls, so many must hold their money without a word to anybody. */
  leastPerMillion: number
  /** Homes near and far are asked at the same time. */
  atOnce: boolean
}

/** How much longer each message of a gateway takes to its home. */
const distances = { near: 0, '200 ms away': 200 } as const

/** Calls of an ordinary day under eight hard budgets, on the wallets of several gateways and real homes. */
async function run(at: ScenarioRun, size: Size): Promise<Outcome> {
  const stack = await at.stack({ services: ['accounts', 'billing', 'budget', 'gateway'] })
  const figures: Outcome['figures'] = {}
  const kept: Outcome['kept'] = []
  const workloads = Object.entries(distances).map(
    ([place, delayMs]) =>
      async () =>
        [place, await runWorkload(stack, await makeBudgets(stack), size, delayMs)] as const,
  )
  const results = size.atOnce ? await Promise.all(workloads.map(work => work())) : await oneByOne(workloads)
  for (const [place, result] of results) {
    const perMillion = Math.floor((result.local * 1e6) / result.calls)
    figures[`homes ${place}`] = tell(result)
    kept.push({
      promise: `homes ${place}: ${size.leastPerMillion / 10_000} % of calls ask nobody`,
      kept: perMillion >= size.leastPerMillion,
      found: `${perMillion / 10_000} % of ${result.calls}`,
    })
  }
  return { figures, kept }
}

async function oneByOne<T>(steps: readonly (() => Promise<T>)[]): Promise<T[]> {
  const results: T[] = []
  for (const step of steps) results.push(await step())
  return results
}

function tell({ calls, local, refused, localMicroseconds, askedMs }: WorkloadResult): string {
  const { p50, p99 } = localMicroseconds
  const others =
    local < calls ? `; the others waited ${askedMs.p50.toFixed(0)} ms, p99 ${askedMs.p99.toFixed(0)} ms` : ''
  return `${local} of ${calls} calls asked nobody (p50 ${p50.toFixed(0)} µs, p99 ${p99.toFixed(0)} µs)${others}; ${refused} were refused`
}

const full: Size = {
  seats: 2_000,
  teams: 60,
  gateways: 4,
  everyMs: 15_000,
  seconds: 40,
  leastPerMillion: 990_000,
  atOnce: false,
}

export const callsLocal: Scenario<Size> = {
  name: 'calls-local',
  promise: 'calls of an ordinary day wait for no home of their budgets, however far away it is',
  full,
  // So often that what nobody asks for ahead is missing by the end: then one call in eleven asks. A machine that others use too answers some
  // asks late.
  small: { seats: 40, teams: 3, gateways: 2, everyMs: 6_000, seconds: 12, leastPerMillion: 950_000, atOnce: true },
  run,
  mutant: {
    name: 'nothing is asked for ahead of calls',
    size: { ...full, seats: 200, teams: 6, everyMs: 5_000, seconds: 30, asksAhead: false },
    run,
  },
}
