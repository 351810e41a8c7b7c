import assert from 'node:assert/strict'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { eventually, testFolder } from '@sluice/test-env'
import { readBill, readLedger } from './accounts-of-a-run.ts'
import type { RunStack } from './scenario.ts'
import { borrowStack } from './shared-stack.ts'

const waitMs = 300
let stack: RunStack
const flag = join(testFolder({ after }, 'disk'), 'flag')

function chat(how: string, streamed: boolean): Promise<Response> {
  return fetch(`${stack.url}/openai/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${stack.apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'gpt-4o-mini',
      stream: streamed,
      messages: [{ role: 'user', content: `hello [[sim output_tokens=20 ${how}]]` }],
    }),
  })
}

suite('strict mode on a disk that hangs', () => {
  before(async () => {
    stack = await borrowStack({
      services: ['accounts', 'billing', 'budget', 'gateway'],
      env: { GATEWAY_JOURNAL: 'strict', GATEWAY_JOURNAL_WAIT_MS: String(waitMs) },
      preloads: { gateway: { name: 'broken-disk.ts', env: { SLUICE_FAULT_DISK: flag } } },
    })
  })

  test('in strict mode a call whose OPEN cannot be synced is refused, never sent, and costs nothing', async t => {
    const sent = (await readBill(stack)).length
    writeFileSync(flag, 'hang')
    const beganAt = performance.now()
    const refused = await chat('', false)
    const tookMs = performance.now() - beganAt
    // Whoever waited for the disk would wait for ever: it hangs until here.
    rmSync(flag)
    const { error } = (await refused.json()) as { error: { code: string } }
    assert.deepEqual([refused.status, error.code], [503, 'metering_unavailable'])
    t.diagnostic(`refused after ${Math.round(tookMs)} ms; the disk is given ${waitMs}`)
    assert.ok(tookMs >= waitMs, `${tookMs} ms`)
    // A busy disk may hang by itself for as long.
    await eventually(async () => (await chat('', false)).status === 200)
    assert.equal((await readBill(stack)).length, sent + 1)
    const callId = refused.headers.get('sluice-call-id')
    const event = await eventually(async () =>
      (await readLedger(stack, stack.projectId)).events.find(each => each.callId === callId),
    )
    assert.deepEqual([event.status, event.costNanoUsd], ['failed', 0])
  })

  test('in strict mode no byte is seen of a stream whose CHECKPOINT cannot be synced, and what it cost is on record', async () => {
    const seen = await eventually(async () => {
      // Its OPEN is still synced, and the call leaves: unless the disk, which others use, takes too long for that one.
      writeFileSync(flag, 'hang after one')
      const answer = await chat('delay_ms=50 tokens_per_chunk=1', true).catch(() => undefined)
      const said = answer ? await answer.text().catch(() => 'broken') : 'broken'
      rmSync(flag)
      return answer?.status !== 503 && said
    })
    assert.equal(seen, 'broken')
    await eventually(async () => {
      const { events } = await readLedger(stack, stack.projectId)
      return events.some(event => event.status === 'aborted' && event.costNanoUsd > 0)
    })
  })
})
