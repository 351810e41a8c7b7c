import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LineItem } from '@sluice/contracts'
import { DrawnRow, type LeaseRow } from '@sluice/leases'
import { jsonOf } from '../../test/journal-env.ts'
import { closeLine, closePrefix } from './close-line.ts'
import type { OpenRecord, UsageDraft } from './open-record.ts'
import { draftText, openText } from './record-json.ts'

const odd = 'a "quoted" \\ text\n\u2028 with ünïcode \ud800 and \u0007'
const identity = {
  account_id: 'acc_1',
  project_id: 'p',
  team_id: odd,
  member_id: 'mem_1',
  service_account_id: 'sa_1',
  key_id: 'k',
  room: odd,
  participant: odd,
  credential_kind: 'key',
} as const
const claimed = { app: 'x', session_id: odd, agent_id: 'a', parent_agent_id: 'b', tags: { [odd]: odd } }
const line: Required<LineItem> = {
  quantity_name: odd,
  quantity: 187,
  rate_nano_usd_per_million: 150_000_000,
  multiplier: [1, 2],
  model: odd,
  turn: 1,
  assumed_from: 'm',
  cost_nano_usd: 9_007_199_254_740_991,
}

/** With every member that an OPEN can have: a new one is missed here by the compiler. */
const wholeOpen: Required<OpenRecord> = {
  event_id: '01a216ec-fb0b-7d35-b69d-79530bbdbfda',
  call_id: '01a216ec-fb0b-7d35-b69d-79530bbdbfdb',
  attempt: 2,
  identity,
  claimed,
  paid_by: 'seat',
  dialect: 'openai',
  endpoint: 'chat.completions',
  streamed: true,
  requested_model: odd,
  provider: 'openai',
  served_by: odd,
  admitted_at_ms: 1_790_000_000_000,
  price_book_id: odd,
  override_price_book_id: 'book',
  unpriced_policy: 'assume_max',
  leases: [['lease', 5]],
  held: [{ budget_id: 'b', copy: odd, window_start_ms: 0, amount: 7 }],
  estimated_input: { in_text: 12, in_audio: 1 },
  asked_modifiers: { service_tier: 'flex' },
  in_call: { call_id: 'rtc', turn_id: odd },
  holds: [{ budget_id: 'b', copy: odd, window_start_ms: 0, unit: 'usd', exact: true, parts: [['lease', 5]] }],
  holder: 'batch_x',
}

/** The same of an event. */
const wholeDraft: Required<UsageDraft> = {
  event_id: wholeOpen.event_id,
  call_id: wholeOpen.call_id,
  attempt: 2,
  identity,
  claimed,
  paid_by: 'own_credential',
  dialect: 'anthropic',
  endpoint: 'messages',
  streamed: false,
  requested_model: odd,
  served_model: odd,
  provider: 'anthropic',
  served_by: odd,
  provider_request_id: odd,
  response_id: odd,
  http_status: 200,
  status: 'cut',
  finish_reason: odd,
  error_code: odd,
  cut_by: { reason: odd, budget_id: 'b', copy: odd },
  clamped: { to: 300, budget_id: 'b', copy: odd },
  admitted_at_ms: 1_790_000_000_000,
  finished_at_ms: 1_790_000_000_123,
  time_to_first_chunk_ms: 5,
  duration_ms: 123,
  overhead_us: 456,
  quantities: { in_text: 187, out_text: 0 },
  provenance: { in_text: 'measured', out_text: 'estimated' },
  modifiers: { service_tier: 'default' },
  raw_usage: { prompt_tokens: 187, [odd]: [odd, null, { deep: true }] },
  doubts: ['usage_shrank', 'tier_not_asked'],
  price_book_id: odd,
  override_price_book_id: 'book',
  priced: true,
  unpriced_policy: 'assume_max',
  assumed: true,
  line_items: [line, { quantity_name: 'in_text', quantity: 1, rate_nano_usd_per_million: 2, cost_nano_usd: 0 }],
  cost_nano_usd: 87_450,
  leases: [['lease', 5]],
  lease_totals: [['lease', 9]],
  unresolved: [['lease', 1]],
  handed: { holder: 'batch_x', leases: [['lease', 5]] },
  held: [{ budget_id: 'b', copy: '', window_start_ms: 0, amount: 7 }],
  drawn: [
    [
      ['b', odd, 0],
      7,
      [
        ['3-0', 5, 9],
        [odd, 0, 0],
      ],
    ],
    [['c', '', 1_790_000_000_000], 1, []],
  ],
  settlement_key: odd,
}

/** The object with each of its members left out in turn, those that may be. */
function* withoutEach<T extends object>(whole: T, optional: readonly (keyof T)[]): Generator<T> {
  yield whole
  for (const name of optional) {
    const { [name]: _, ...rest } = whole
    yield rest as T
    yield { ...whole, [name]: undefined }
  }
}

const place = { gateway_id: 'gw_1', epoch: 3, partition: 5, seq: 1_234 }

function lineOf(draft: UsageDraft): string {
  return jsonOf(closeLine(closePrefix('gw_1', 3), 5, 1_234, draftText(draft)))
}

function saysTheSame(json: string, record: object): void {
  assert.deepEqual(JSON.parse(json), JSON.parse(JSON.stringify(record)))
  assert.equal(json.length, JSON.stringify(record).length, 'nothing stands there twice')
}

test('an OPEN is written as JSON.stringify writes it, whatever it has and has not', () => {
  const optional = ['override_price_book_id', 'unpriced_policy', 'asked_modifiers', 'in_call', 'holds'] as const
  for (const record of withoutEach<OpenRecord>(wholeOpen, optional)) saysTheSame(jsonOf(openText(record)), record)
  const bare = { ...wholeOpen, leases: [], held: [], estimated_input: {} }
  saysTheSame(jsonOf(openText(bare)), bare)
})

test('an event is written as JSON.stringify writes it, whatever it has and has not', () => {
  const optional = [
    'served_model',
    'provider_request_id',
    'response_id',
    'finish_reason',
    'error_code',
    'cut_by',
    'time_to_first_chunk_ms',
    'raw_usage',
    'doubts',
    'override_price_book_id',
    'unpriced_policy',
    'assumed',
    'lease_totals',
    'drawn',
    'unresolved',
    'handed',
    'settlement_key',
  ] as const
  for (const draft of withoutEach<UsageDraft>(wholeDraft, optional)) saysTheSame(lineOf(draft), { ...place, ...draft })
  const bare = { ...wholeDraft, leases: [], held: [], line_items: [], quantities: {}, raw_usage: null }
  saysTheSame(lineOf(bare), { ...place, ...bare })
  const broken: UsageDraft = {
    ...wholeDraft,
    duration_ms: Number.NaN,
    cost_nano_usd: Number.POSITIVE_INFINITY,
    drawn: [[['b', '', 0], 7, [['3-0', Number.NaN, Number.NaN]]]],
  }
  saysTheSame(lineOf(broken), { ...place, ...broken })
})

test('what was drawn of a row of leases is written as what is told by budget', () => {
  const label = (id: string): [string, string, number] => [id, id === 'c' ? '' : '"mem"', 9]
  const row = {
    pools: ['a', 'b', 'c'].map(id => ({ label: label(id), isConcurrent: id === 'b' })),
    leases: ['12-0', '12-1', '12-2'].map(name => ({ name })),
  } as unknown as LeaseRow
  const { drawn: _, ...draft } = wholeDraft
  for (const numbers of [
    [5, 1, 7],
    [Number.MAX_SAFE_INTEGER, 1, 0],
    [123_456_789_012, 1, 1_000_000_000],
  ]) {
    const [first = 0, ...rest] = numbers
    const drawn = new DrawnRow(row, numbers, [...rest, first], [0, 0, first])
    const inFull = { ...draft, drawn: drawn.drawn }
    const text = jsonOf(closeLine(closePrefix('gw_1', 3), 5, 1_234, draftText(draft, drawn)))
    assert.equal(text, lineOf(inFull))
    saysTheSame(text, { ...place, ...inFull })
  }
})

test('what an identity called last is not taken for what it calls now', () => {
  const others: Partial<OpenRecord>[] = [
    { attempt: 1 },
    { claimed: {} },
    { claimed: { ...claimed, session_id: 'other' } },
    { claimed: { ...claimed, tags: { other: '1' } } },
    { paid_by: 'managed' },
    { dialect: 'anthropic' },
    { endpoint: 'responses' },
    { streamed: false },
    { requested_model: 'other' },
    { requested_model: 'x'.repeat(10_000) },
    { provider: 'anthropic' },
    { served_by: 'other' },
    { identity: { ...identity, room: 'other' } },
  ]
  for (const other of others)
    for (const record of [wholeOpen, { ...wholeOpen, ...other }, wholeOpen])
      saysTheSame(jsonOf(openText(record)), record)
})
