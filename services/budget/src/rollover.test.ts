import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLogger } from '@sluice/runtime'
import { eventually } from '@sluice/test-env'
import { startRollover } from './rollover.ts'
import type { OverNow } from './rollover-store.ts'

test('where nothing is over nothing is locked and nobody is told of it', async t => {
  const answers: OverNow[] = [
    { cutoffs: false, raises: false },
    { cutoffs: true, raises: false },
    { cutoffs: false, raises: true },
  ]
  let round = 0
  const done: string[] = []
  const note = (what: string) => void done.push(`${round} ${what}`)
  const rollover = startRollover({
    findOver: async () => answers[round++] ?? { cutoffs: false, raises: false },
    endCutoffs: async () => {
      note('cutoffs')
      return []
    },
    endRaises: async () => note('raises'),
    tellEnded: async () => {},
    freePlaces: async () => {},
    pruneOld: async () => false,
    forgetDeletions: async () => {},
    onChange: () => note('told'),
    intervalMs: 2,
    log: createLogger('budget', 'silent'),
  })
  t.after(rollover.close)
  await eventually(() => round > answers.length)
  await rollover.close()
  assert.deepEqual(done, ['2 cutoffs', '2 told', '3 raises'])
})
