import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { BackgroundResponse } from '@sluice/contracts'
import { HeldRow } from '@sluice/leases'
import { type EstimatedAttempt, estimateOpen } from './open-estimate.ts'
import type { CheckpointRecord, OpeningRecord, OpenRecord, UnratedDraft } from './open-record.ts'

const open = (id: string): OpenRecord => ({
  event_id: id,
  call_id: id,
  attempt: 1,
  identity: { account_id: 'acct_1', project_id: 'p', team_id: 'unassigned', credential_kind: 'key' },
  claimed: {},
  paid_by: 'managed',
  dialect: 'openai',
  endpoint: 'chat.completions',
  streamed: true,
  requested_model: 'gpt-4.1',
  provider: 'openai',
  served_by: 'simulator',
  admitted_at_ms: 1,
  price_book_id: 'book',
  estimated_input: { in_text: 12 },
  leases: [],
  held: [],
})
const checkpoint = (id: string, tokens: number): CheckpointRecord => ({
  event_id: id,
  at_ms: 2,
  output_bytes: 4 * tokens,
  quantities: { in_text: 10, out_text: tokens },
  provenance: { in_text: 'measured', out_text: 'estimated' },
  http_status: 200,
})

function openAttempts(count: number): Map<string, EstimatedAttempt> {
  const ids = Array.from({ length: count }, (_, index) => `a${index}`)
  return new Map(ids.map(id => [id, { record: open(id), checkpoint: undefined, estimate: undefined }]))
}

const background = BackgroundResponse.decode(
  readFileSync(
    new URL('../../../../packages/contracts/fixtures/document-background-response.json', import.meta.url),
    'utf8',
  ),
)

/** A nano-dollar a token, and who was asked for. */
function meter() {
  const asked: string[] = []
  const rate = ({ event_id, quantities }: UnratedDraft) => {
    asked.push(event_id)
    return {
      priced: true,
      line_items: [],
      cost_nano_usd: (quantities.in_text ?? 0) + (quantities.out_text ?? 0),
    }
  }
  return { asked, rate }
}

test('what is open costs its input until more is known, then what its last checkpoint says, rated now and then', () => {
  const attempts = openAttempts(2)
  const { asked, rate } = meter()
  assert.deepEqual(estimateOpen(attempts, { rate, nowMs: 0 }), { attempts: 2, nanoUsd: 24, unrated: 0 })
  const [, second] = [...attempts.values()]
  assert.ok(second)
  second.checkpoint = checkpoint('a1', 90)
  assert.equal(estimateOpen(attempts, { rate, nowMs: 1_000 }).nanoUsd, 24)
  assert.equal(estimateOpen(attempts, { rate, nowMs: 10_000 }).nanoUsd, 112)
  assert.equal(estimateOpen(attempts, { rate, nowMs: 30_000 }).nanoUsd, 112)
  assert.deepEqual(asked, ['a0', 'a1', 'a1'])
  second.checkpoint = {
    ...checkpoint('a1', 90),
    background,
  }
  assert.equal(estimateOpen(attempts, { rate, nowMs: 50_000 }).nanoUsd, 12)
})

test('a sum rates only so many attempts, and says how many are not in it', () => {
  const attempts = openAttempts(5)
  const { asked, rate } = meter()
  const sums = [1, 2, 3, 4].map(second => estimateOpen(attempts, { rate, nowMs: second * 1_000, atMost: 2 }))
  assert.deepEqual(
    sums.map(({ nanoUsd, unrated }) => [nanoUsd, unrated]),
    [
      [24, 3],
      [48, 1],
      [60, 0],
      [60, 0],
    ],
  )
  assert.deepEqual(asked, ['a0', 'a1', 'a2', 'a3', 'a4'])
})

test('an attempt without a price, or whose price book is not here yet, is told as not rated', () => {
  const attempts = openAttempts(2)
  const unpriced = () => ({ priced: false, line_items: [], cost_nano_usd: 0 })
  assert.deepEqual(estimateOpen(attempts, { rate: unpriced, nowMs: 0 }), { attempts: 2, nanoUsd: 0, unrated: 2 })
  const missing = () => {
    throw new Error('price book is not loaded yet')
  }
  assert.deepEqual(estimateOpen(attempts, { rate: missing, nowMs: 0 }), { attempts: 2, nanoUsd: 0, unrated: 2 })
  assert.equal(estimateOpen(attempts, { rate: meter().rate, nowMs: 10_000 }).nanoUsd, 24)
})

test('what an open attempt holds is not in the event that is rated, however it was told', () => {
  const row = new HeldRow({ pools: [], leases: [] }, [], [])
  const record: OpeningRecord = { ...open('a0'), holder: 'batch:1', row }
  const rated: UnratedDraft[] = []
  const rate = (draft: UnratedDraft) => {
    rated.push(draft)
    return meter().rate(draft)
  }
  estimateOpen(new Map([['a0', { record, checkpoint: undefined, estimate: undefined }]]), { rate, nowMs: 0 })
  estimateOpen(openAttempts(1), { rate, nowMs: 0 })
  assert.deepEqual(rated[0], rated[1])
})
