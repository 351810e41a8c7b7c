import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { ServiceName } from '@sluice/contracts'
import type { TestScope, TestStack, TestStackOptions } from '@sluice/test-env'
import type { Preload } from './mutant.ts'

/** The installation of a run, and the project that its calls belong to. */
export interface RunStack extends TestStack {
  /** Lines of the provider's bill that stood there before the run. */
  readonly billedBefore: ReadonlySet<string>
}

/** What a scenario asks of its installation. */
export interface StackWish extends TestStackOptions {
  /** With which services are to run from the first call on. */
  preloads?: Partial<Record<ServiceName, Preload>>
}

/** What a scenario runs with. */
export interface ScenarioRun {
  /** Where it hangs its clean-up. */
  scope: TestScope
  /** Hands out its installation, with an environment as it is wanted. Other runs may have had it before. */
  stack: (wish?: StackWish) => Promise<RunStack>
  seed: number
  /** Raw logs: what the client saw, what each store holds, the services' own logs. */
  logs: string
  say: (line: string) => void
}

/** What a scenario found. */
export interface Outcome {
  /** Printed; never asserted but for the promises below. */
  figures: Record<string, number | string>
  /** The promise in its parts: each must be kept. */
  kept: { promise: string; kept: boolean; found: string }[]
}

/** A promise under a fault, at its full size and at one that fits in the test suite. */
export interface Scenario<Size> {
  name: string
  promise: string
  full: Size
  small: Size
  run: (run: ScenarioRun, size: Size) => Promise<Outcome>
  /** The same run with one defence taken away: it must break the promise, or the scenario proves nothing. */
  mutant: { name: string; size: Size; run: (run: ScenarioRun, size: Size) => Promise<Outcome> }
}

export function brokenPromises(outcome: Outcome): string[] {
  return outcome.kept.filter(part => !part.kept).map(part => `${part.promise}: ${part.found}`)
}

/** A folder for the raw logs of one run. */
export function logFolder(root: string, name: string, now: Date): string {
  const folder = join(root, '.logs', 'prove', `${name}-${now.toISOString().replaceAll(/[:.]/g, '-')}`)
  mkdirSync(folder, { recursive: true })
  return folder
}
