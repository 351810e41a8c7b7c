import { type ClosedResult, runClosed } from './load-closed.ts'
import type { Route } from './nginx.ts'
import { compilerMicroseconds, cpuMicroseconds } from './processes.ts'
import { median, minimum } from './statistics.ts'
import type { Target } from './targets.ts'

export interface Window extends ClosedResult {
  cpuPerRequest: number
}

/** What a target did over all rounds of one section. */
export interface Measured {
  target: string
  cpuMin: number
  cpuMedian: number
  /** Of each round's window the multiple of that round's window of nginx; of those, the median. */
  timesNginx: number
  /** CPU per call of each window in turn, those of rounds that were left out too. */
  windows: { cpuPerRequest: number; isKept: boolean }[]
  requestsPerSecond: number
  p50Ms: number
  errors: number
  bytesPerRequest: number
}

export interface RoundsOptions {
  route: Route
  body: string
  connections: number
  rounds: number
  seconds: number
  folder: string
  say: (line: string) => void
}

/** Load before anything counts, in rounds: at least two of them, at most eight. */
const warmUp = { seconds: 5, fewest: 2, most: 8 }
/** The compilers of a target are done with what the load runs through when they take less of its CPU than this. */
const quietShare = 0.01

/**
 * Short windows that go around the targets, nginx in each round as the thermometer of the machine: a single run varies by
 * 40 % on a shared one. Rounds in which nginx is more than 15 % off its median are left out, unless that left fewer than two.
 */
export async function runRounds(targets: readonly Target[], options: RoundsOptions): Promise<Measured[]> {
  const taking = targets.filter(target => target.endpoint(options.route) !== undefined)
  await warmAll(taking, options)
  const rounds: Map<string, Window>[] = []
  for (let round = 0; round < options.rounds; round++) {
    const windows = new Map<string, Window>()
    for (const target of taking) windows.set(target.name, await runWindow(target, options))
    rounds.push(windows)
  }
  const kept = quietRounds(rounds)
  return taking.map(target => {
    const windows = kept.flatMap(round => round.get(target.name) ?? [])
    const all = rounds.flatMap(round => round.get(target.name) ?? [])
    const multiples = kept.map(round => cpuOf(round, target.name) / cpuOf(round, 'nginx'))
    return {
      target: target.name,
      cpuMin: minimum(windows.map(window => window.cpuPerRequest)),
      cpuMedian: median(windows.map(window => window.cpuPerRequest)),
      timesNginx: median(multiples),
      windows: rounds.map(round => ({ cpuPerRequest: cpuOf(round, target.name), isKept: kept.includes(round) })),
      requestsPerSecond: median(windows.map(window => window.requests / window.seconds)),
      p50Ms: median(windows.map(window => window.p50Ms)),
      errors: all.reduce((sum, window) => sum + window.errors, 0),
      bytesPerRequest: median(all.map(window => window.bytes / Math.max(1, window.requests))),
    }
  })
}

/**
 * Services run for weeks, windows for seconds: what is measured is code that the engine has done optimising. Targets take turns,
 * since two of them may be one process that compiles anew what the second finds different.
 */
async function warmAll(targets: readonly Target[], options: RoundsOptions): Promise<void> {
  let loud = targets
  for (let round = 1; round <= warmUp.most && loud.length > 0; round++) {
    const still: Target[] = []
    for (const target of loud) {
      const before = compilerMicroseconds(target.pid(options.route))
      const { cpuPerRequest, requests } = await runWindow(target, { ...options, seconds: warmUp.seconds })
      const compilers = compilerMicroseconds(target.pid(options.route)) - before
      if (round < warmUp.fewest || compilers > quietShare * cpuPerRequest * requests) still.push(target)
    }
    loud = still
  }
  for (const target of loud)
    options.say(`${target.name}: its compilers are not done after ${warmUp.most * warmUp.seconds} s`)
}

async function runWindow(target: Target, options: RoundsOptions): Promise<Window> {
  const endpoint = target.endpoint(options.route)
  if (!endpoint) throw new Error(`${target.name} has no ${options.route}`)
  const before = cpuMicroseconds(target.pid(options.route))
  const result = await runClosed(endpoint, options)
  const cpu = cpuMicroseconds(target.pid(options.route)) - before
  return { ...result, cpuPerRequest: cpu / Math.max(1, result.requests) }
}

function quietRounds(rounds: readonly Map<string, Window>[]): readonly Map<string, Window>[] {
  const usual = median(rounds.map(round => cpuOf(round, 'nginx')))
  const quiet = rounds.filter(round => Math.abs(cpuOf(round, 'nginx') - usual) <= 0.15 * usual)
  return quiet.length >= 2 ? quiet : rounds
}

function cpuOf(round: Map<string, Window>, target: string): number {
  return round.get(target)?.cpuPerRequest ?? Number.NaN
}
