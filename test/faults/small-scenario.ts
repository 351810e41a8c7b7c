import assert from 'node:assert/strict'
import { join } from 'node:path'
import test from 'node:test'
import { cpuSeconds } from '../cpu-seconds.ts'
import { brokenPromises, logFolder, type Scenario } from './scenario.ts'
import { abandonStacks, borrowStack } from './shared-stack.ts'

const root = join(import.meta.dirname, '..', '..')

/** The scenario at the size that fits in the test suite. `SLUICE_SEED` repeats a run. */
export function testScenario<Size>(scenario: Scenario<Size>): void {
  test(scenario.promise, async t => {
    const seed = Number(process.env.SLUICE_SEED ?? Date.now() % 1_000_000)
    t.diagnostic(`SLUICE_SEED=${seed}`)
    const logs = logFolder(root, `${scenario.name}-small`, new Date())
    const before = cpuSeconds(process.pid)
    try {
      const outcome = await scenario.run(
        { scope: t, stack: borrowStack, seed, logs, say: line => t.diagnostic(line) },
        scenario.small,
      )
      const after = cpuSeconds(process.pid)
      if (before !== undefined && after !== undefined)
        t.diagnostic(`CPU seconds, with what an installation took to start: ${(after - before).toFixed(1)}`)
      for (const [name, value] of Object.entries(outcome.figures)) t.diagnostic(`${name}: ${value}`)
      assert.deepEqual(brokenPromises(outcome), [], `raw logs: ${logs}`)
    } catch (error) {
      abandonStacks()
      throw error
    }
  })
}
