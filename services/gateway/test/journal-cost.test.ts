import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sized, testFolder } from '@sluice/test-env'
import { RunningEpoch } from '../src/journal/running-epoch.ts'
import { draftOf, log, openRecord, projects } from './journal-env.ts'

test('what a call costs in the journal is printed', async t => {
  const epoch = new RunningEpoch({ directory: testFolder(t, 'journal'), gatewayId: 'gw_1', epoch: 1, log })
  const measure = async (calls: number): Promise<number> => {
    let micros = 0
    for (let at = 0; at < calls; at += 100) {
      const drafts = Array.from({ length: 100 }, (_, i) => {
        const open = openRecord(projects[i % projects.length])
        return { open, draft: draftOf(open) }
      })
      const before = process.threadCpuUsage()
      for (const { open, draft } of drafts) {
        epoch.open(open)
        epoch.checkpoint({
          event_id: open.event_id,
          at_ms: open.admitted_at_ms,
          output_bytes: 40,
          quantities: { in_text: 11, out_text: 10 },
          provenance: { in_text: 'measured', out_text: 'estimated' },
          http_status: 200,
        })
        epoch.close(draft, false)
      }
      const used = process.threadCpuUsage(before)
      micros += used.user + used.system
      await new Promise(resolve => setImmediate(resolve))
    }
    return micros / calls
  }
  const calls = sized({ small: 1_000, full: 5_000 })
  await measure(2 * calls)
  const microsPerCall = await measure(calls)
  t.diagnostic(`open + checkpoint + close: ${microsPerCall.toFixed(1)} µs of CPU a call`)
  assert.equal(
    epoch.last.reduce((a, b) => a + b),
    3 * calls,
  )
  await epoch.synced()
  await epoch.stop()
})

test('what waiting for the disk adds to a call is printed', async t => {
  const epoch = new RunningEpoch({ directory: testFolder(t, 'journal'), gatewayId: 'gw_1', epoch: 1, log })
  for (const callers of [1, sized({ small: 20, full: 100 })]) {
    const waits: number[] = []
    const call = async (): Promise<void> => {
      for (let i = 0; i < 50; i++) {
        const open = openRecord(projects[i % projects.length])
        const beganAt = performance.now()
        epoch.open(open)
        await epoch.synced()
        waits.push(performance.now() - beganAt)
        epoch.close(draftOf(open), false)
      }
    }
    await Promise.all(Array.from({ length: callers }, call))
    waits.sort((a, b) => a - b)
    const at = (share: number): string => (waits[Math.floor(waits.length * share)] ?? Number.NaN).toFixed(2)
    t.diagnostic(`${callers} callers: a wait of p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`)
    assert.equal(waits.length, callers * 50)
  }
  assert.equal(epoch.openAttempts, 0)
  await epoch.stop()
})
