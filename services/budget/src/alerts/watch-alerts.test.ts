import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLogger } from '@sluice/runtime'
import { eventually } from '@sluice/test-env'
import type { WaitingAlerts } from './waiting-store.ts'
import { watchAlerts } from './watch-alerts.ts'

test('it is asked once for all that may wait, and nothing is begun but what does; a question that fails is asked again', async t => {
  const answers: (WaitingAlerts | Error)[] = [
    { requests: false, deliveries: false },
    { requests: true, deliveries: false },
    new Error('the database is away'),
    { requests: false, deliveries: true },
  ]
  let asked = 0
  const begun: string[] = []
  const watch = watchAlerts({
    findWaiting: async () => {
      const answer = answers[asked++] ?? { requests: false, deliveries: false }
      if (answer instanceof Error) throw answer
      return answer
    },
    tell: () => void begun.push(`tell ${asked}`),
    deliver: () => void begun.push(`deliver ${asked}`),
    pollMs: 2,
    log: createLogger('budget', 'silent'),
  })
  t.after(watch.close)
  await eventually(() => asked > answers.length)
  await watch.close()
  assert.deepEqual(begun, ['tell 2', 'deliver 4'])
})
