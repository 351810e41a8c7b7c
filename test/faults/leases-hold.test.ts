import assert from 'node:assert/strict'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { findMistakes, leaseMistakes, leasesHold } from './leases-hold.ts'
import { testScenario } from './small-scenario.ts'

testScenario(leasesHold)

test('each mistake is found', async t => {
  const logs = mkdtempSync(join(tmpdir(), 'sluice-leases-'))
  const stack = () => Promise.reject(new Error('it has none'))
  const run = { scope: t, stack, seed: 0, logs, say: (line: string) => t.diagnostic(line) }
  const { kept } = await findMistakes(run, { schedules: 400, gateways: 4 }, leaseMistakes)
  for (const { name } of leaseMistakes)
    await t.test(`a mistake is found: ${name}`, t => {
      const mistake = kept.find(({ promise }) => promise === name)
      t.diagnostic(mistake?.found ?? JSON.stringify(kept))
      assert.equal(mistake?.kept, true)
    })
})
