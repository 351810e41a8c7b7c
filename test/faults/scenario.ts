import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { TestScope } from '@sluice/test-env'

/** What a scenario runs with. */
export interface ScenarioRun {
  /** Where it hangs its clean-up. */
  scope: TestScope
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
