import assert from 'node:assert/strict'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { leaseMistakes, leasesHold } from './leases-hold.ts'
import { runProgram } from './pure-scenario.ts'
import { brokenPromises } from './scenario.ts'
import { testScenario } from './small-scenario.ts'

testScenario(leasesHold)

for (const { name, seed, replacements } of leaseMistakes)
  test(`a mistake is found: ${name}`, async t => {
    const logs = mkdtempSync(join(tmpdir(), 'sluice-leases-'))
    const stack = () => Promise.reject(new Error('it has none'))
    const run = { scope: t, stack, seed, logs, say: (line: string) => t.diagnostic(line) }
    const outcome = await runProgram(run, 'simulate-leases.ts', { schedules: 400, gateways: 4 }, replacements)
    const broken = brokenPromises(outcome)
    t.diagnostic(broken[0] ?? 'nothing broken')
    assert.doesNotMatch(broken.join('\n'), /mutant: \S+ does not hold/, 'it was not made: its line is another one now')
    assert.notDeepEqual(broken, [])
  })
