import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UsageRecorded } from '@sluice/contracts'
import { DrawnRow, type LeaseRow } from '@sluice/leases'
import { draftOf, jsonOf, openRecord } from '../../test/journal-env.ts'
import { closeLine, closePrefix } from './close-line.ts'
import { fitDraft } from './fit-draft.ts'
import type { UsageDraft } from './open-record.ts'

const maxMessageBytes = 1024 * 1024
const place = { gateway_id: 'gw_1', epoch: 1, partition: 0, seq: 1 }

/** The line that is published. */
function fitted(draft: UsageDraft, onShrunk = (): void => {}): string {
  return jsonOf(closeLine(closePrefix('gw_1', 1), 0, 1, fitDraft(draft, onShrunk)))
}

const line = (cost: number): UsageDraft['line_items'][number] => ({
  quantity_name: 'in_text',
  quantity: 1,
  rate_nano_usd_per_million: 1,
  model: 'm'.repeat(256),
  cost_nano_usd: cost,
})

const money: Pick<UsageDraft, 'leases' | 'lease_totals' | 'unresolved' | 'held'> = {
  leases: [['lease_1', 5]],
  lease_totals: [['lease_1', 905]],
  unresolved: [['lease_1', 12]],
  held: [{ budget_id: 'bud_1', copy: '', window_start_ms: 0, amount: 17 }],
}

const tooLarge: Record<string, Partial<UsageDraft>> = {
  'a raw usage object of 2 MB': { raw_usage: { note: 'x'.repeat(2_000_000) } },
  'a raw usage object nested without end': { raw_usage: JSON.parse(`${'['.repeat(500_000)}${']'.repeat(500_000)}`) },
  'a model of 2 MB': { served_model: 'm'.repeat(2_000_000), modifiers: { service_tier: 't'.repeat(2_000_000) } },
  'ten thousand lines': { line_items: Array.from({ length: 10_000 }, () => line(7)), cost_nano_usd: 70_000 },
  'ten thousand budgets': {
    drawn: Array.from({ length: 10_000 }, (_, at) => [[`b${at}`, '', 0], 1, [[`${at}-0`, 1, 1]]]),
  },
  'claims of 2 MB': { claimed: { tags: { '\u20ac': '\u20ac'.repeat(700_000) } } },
}
for (const [name, fields] of Object.entries(tooLarge)) {
  test(`${name} never makes an event that cannot be published, and the cost stays`, () => {
    const draft = {
      ...draftOf(openRecord()),
      line_items: [line(342_000)],
      ...money,
    }
    Object.assign(draft, fields)
    const { cost_nano_usd, quantities } = structuredClone({ ...draft, raw_usage: null })
    const event = UsageRecorded.decode(Buffer.from(fitted(draft)))
    assert.ok(Buffer.byteLength(JSON.stringify(event)) < maxMessageBytes)
    assert.equal(event.cost_nano_usd, cost_nano_usd)
    assert.equal(
      event.line_items.reduce((sum, item) => sum + item.cost_nano_usd, 0),
      cost_nano_usd,
    )
    assert.deepEqual(event.quantities, quantities)
    const { leases, lease_totals, unresolved, held } = event
    assert.deepEqual({ leases, lease_totals, unresolved, held }, money)
    assert.deepEqual(
      JSON.parse(JSON.stringify({ ...place, ...draft })),
      JSON.parse(fitted(draft)),
      'the draft is the event',
    )
  })
}

test('a usual event is written as it is', () => {
  const draft = draftOf(openRecord())
  const before = JSON.parse(JSON.stringify(draft))
  assert.deepEqual(JSON.parse(fitted(draft, () => assert.fail('it fits'))), { ...place, ...before })
})

test('an event that is cut short says what was drawn of a row of leases all the same', () => {
  const pools = [{ label: ['bud_1', '', 0], isConcurrent: false }]
  const row = { pools, leases: [{ name: '1-0' }] } as unknown as LeaseRow
  const draft: UsageDraft = { ...draftOf(openRecord()), raw_usage: { note: 'x'.repeat(2_000_000) } }
  const text = fitDraft(draft, () => {}, new DrawnRow(row, [17], [5], [905]))
  const { drawn } = UsageRecorded.decode(Buffer.from(jsonOf(closeLine(closePrefix('gw_1', 1), 0, 1, text))))
  assert.deepEqual(drawn, [[['bud_1', '', 0], 17, [['1-0', 5, 905]]]])
})
