import assert from 'node:assert/strict'
import { test } from 'node:test'
import { leaseIdOf, leasesOfRun } from '@sluice/contracts'
import { type HeldBudget, HeldRow, type JournaledHold, type LeaseRow } from '@sluice/leases'
import { jsonOf } from '../../test/journal-env.ts'
import type { OpeningRecord, OpenRecord } from './open-record.ts'
import { OpenReader, SaidTogether } from './open-text.ts'

const [gatewayId, epoch] = ['gw_1', 3] as const
const leases = [leaseIdOf(gatewayId, epoch, 12, 0), leaseIdOf(gatewayId, epoch, 12, 1), 'gw_2-3-1-0', '"odd"'] as const

let made = 0

function openOf(more: Partial<OpenRecord> = {}): OpenRecord {
  const id = `01a216ec-fb0b-7d35-b69d-${String(++made).padStart(12, '0')}`
  return {
    event_id: id,
    call_id: id,
    attempt: 1,
    identity: { account_id: 'acct_1', project_id: 'p', team_id: 't', credential_kind: 'key' },
    claimed: { app: 'x' },
    paid_by: 'managed',
    dialect: 'openai',
    endpoint: 'chat.completions',
    streamed: false,
    requested_model: 'gpt-4.1',
    provider: 'openai',
    served_by: 'simulator',
    admitted_at_ms: made,
    price_book_id: 'book',
    estimated_input: { in_text: made },
    leases: [],
    held: [],
    ...more,
  }
}

function holdOf(budget: string, parts: JournaledHold['parts'], more: Partial<JournaledHold> = {}): JournaledHold {
  return { budget_id: budget, copy: '', window_start_ms: 0, unit: 'usd', parts, ...more }
}

/** As a replay reads what one write said. */
function readTogether(records: readonly OpeningRecord[], reader = new OpenReader(gatewayId, epoch)) {
  const said = new SaidTogether(leasesOfRun(gatewayId, epoch))
  const texts = records.map(record => said.add(record)).map(text => ({ json: jsonOf(text), whole: text.whole?.() }))
  return { texts, read: texts.map(({ json }) => reader.read(json).record) }
}

/** What is held is a set: the order in which it was written says nothing. */
function sorted(record: OpenRecord | undefined) {
  if (!record?.holds) return record
  return { ...record, holds: [...record.holds].sort((a, b) => (a.budget_id < b.budget_id ? -1 : 1)) }
}

test('every OPEN of a write is read as it was given, whatever earlier ones have said', () => {
  const { identity } = openOf()
  const mine = { identity }
  const holds = [
    holdOf('a', [
      [leases[0], 5],
      [leases[2], 6],
    ]),
    holdOf('b', [[leases[1], 7]], { exact: true, unit: 'tokens', copy: 'mem_1', window_start_ms: 9 }),
    holdOf('c', [[leases[3], 1]], { unit: 'concurrent' }),
  ]
  const records = [
    openOf(mine),
    openOf(mine),
    openOf({ ...mine, asked_modifiers: { service_tier: 'flex' }, in_call: { call_id: 'rtc', turn_id: 'x' } }),
    openOf({ ...mine, streamed: true }),
    openOf({ ...mine, price_book_id: 'newer' }),
    openOf({ ...mine, override_price_book_id: 'own', unpriced_policy: 'assume_max' }),
    openOf({ ...mine, override_price_book_id: 'own', unpriced_policy: 'assume_max', holds }),
    openOf({ ...mine, holds, holder: 'batch_x' }),
    openOf({ holds }),
    openOf({ ...mine, holds: holds.slice(0, 1) }),
    openOf({ ...mine, holds: [holdOf('b', [[leases[1], 8]], holds[1] && { ...holds[1], parts: [[leases[1], 8]] })] }),
    // The budget holds less strictly from now on.
    openOf({ ...mine, holds: [holdOf('b', [[leases[1], 8]], { unit: 'tokens', copy: 'mem_1', window_start_ms: 9 })] }),
    openOf({ ...mine, holds }),
    openOf({ ...mine, holds: [holdOf('a', [])] }),
    openOf({ ...mine, holds: [] }),
    openOf(mine),
  ]
  const { texts, read } = readTogether(records)
  assert.deepEqual(read.map(sorted), records.map(sorted))
  for (const [at, { json, whole }] of texts.entries())
    assert.deepEqual(JSON.parse(whole ? jsonOf(whole) : json), JSON.parse(JSON.stringify(records[at])))
})

test('money that is told by a row of leases is written as one that is told in full', () => {
  const ids = [leases[0], leases[1]]
  const row = { leases: ids.map(leaseId => ({ leaseId, name: leaseId.split('-').slice(-2).join('-') })) }
  const budgets = (hold?: 'exact') =>
    [
      { budget: { budget_id: 'a', unit: 'usd' }, copy: '' },
      { budget: { budget_id: 'b', unit: 'tokens', hold }, copy: 'mem_1' },
    ] as HeldBudget[]
  const pools = [{ windowStartMs: 0 }, { windowStartMs: 9 }]
  const rows = [budgets(), budgets('exact')].map(each => [{ ...row, pools } as unknown as LeaseRow, each] as const)
  const amounts = [
    [5, 7],
    [123_456_789_012, 0],
  ]
  // The budget holds more strictly from the third on, and less again from the sixth on.
  const given = [0, 0, 1, 1, 1, 0, 0].map((at, turn) => {
    const [leaseRow, each] = rows[at] ?? []
    assert.ok(leaseRow && each)
    return new HeldRow(leaseRow, amounts[turn % 2] ?? [], each)
  })
  const about = { ...openOf(), identity: openOf().identity }
  const opens = given.map((money, at) => ({ ...about, event_id: `${about.event_id.slice(0, -1)}${at}`, money }))
  const byRow = opens.map(({ money, ...open }): OpeningRecord => ({ ...open, row: money }))
  const inFull = opens.map(({ money, ...open }): OpenRecord => ({ ...open, holds: money.holds }))
  const written = readTogether(byRow)
  const same = readTogether(inFull)
  assert.deepEqual(
    written.texts.map(({ json, whole }) => [json, whole && jsonOf(whole)]),
    same.texts.map(({ json, whole }) => [json, whole && jsonOf(whole)]),
  )
  assert.deepEqual(written.read.map(sorted), inFull.map(sorted))
})

test('what calls of one caller have alike stands in a write once', () => {
  const { identity } = openOf()
  const holds = [holdOf('a', [[leases[0], 5]]), holdOf('b', [[leases[1], 7]])]
  const [first, second] = readTogether([openOf({ identity, holds }), openOf({ identity, holds })]).texts
  assert.ok(second && first && second.json.length < first.json.length / 2, second?.json)
  assert.match(second.json, /"parts":\[\["12-0",5\],\["12-1",7\]\]/)
})

test('OPENs of very many callers in one write are read as they were given', () => {
  const identities = Array.from({ length: 300 }, (_, at) => ({ ...openOf().identity, participant: `p${at}` }))
  const records = [...identities, ...identities.slice(-5), ...identities, ...identities.slice(0, 40)].flatMap(
    identity => [openOf({ identity }), openOf({ identity, price_book_id: 'newer' })],
  )
  const reader = new OpenReader(gatewayId, epoch)
  assert.deepEqual(readTogether(records, reader).read, records)
  assert.deepEqual(readTogether(records, reader).read, records, 'also where they are written twice')
})

test('an OPEN that refers to what is not there is told from one that is whole', () => {
  const { identity } = openOf()
  const other = { ...identity, participant: 'other' }
  const holds = [holdOf('a', [[leases[0], 5]])]
  const { texts } = readTogether([
    openOf({ identity }),
    openOf({ identity }),
    openOf({ identity: other, holds }),
    openOf({ identity, holds }),
  ])
  const isWhole = (at: number) => new OpenReader(gatewayId, epoch).read(texts[at]?.json ?? '').isWhole
  assert.deepEqual([0, 1, 2, 3].map(isWhole), [true, false, true, false])
})

test('a damaged OPEN takes no more than what only it has said', () => {
  const { identity } = openOf()
  const other = { ...identity, participant: 'other' }
  const [held, twice] = [
    [holdOf('a', [[leases[0], 5]])],
    [
      holdOf('a', [
        [leases[0], 5],
        [leases[1], 6],
      ]),
    ],
  ]
  const records = [
    openOf({ identity: other, holds: [holdOf('a', [[leases[1], 1]])] }),
    openOf({ identity }),
    openOf({ identity, holds: held, holder: 'batch_x' }),
    openOf({ identity: other, holds: held }),
    openOf({ identity: other, holds: twice }),
  ]
  const { texts } = readTogether(records)
  const readWithout = (lost: number) => {
    const reader = new OpenReader(gatewayId, epoch)
    return texts.map(({ json }, at) => (at === lost ? undefined : reader.read(json)))
  }
  const [, , nameless, ...referring] = readWithout(1)
  assert.deepEqual(
    nameless,
    { event_id: records[2]?.event_id, holder: 'batch_x', holds: held, record: undefined, isWhole: false },
    'whose caller is lost: its money is legible',
  )
  assert.deepEqual(
    referring.map(read => [read?.record, read?.isWhole]),
    records.slice(3).map(record => [record, true]),
    'and so is all that refers to its money alone',
  )
  const [, , , , short] = readWithout(0)
  assert.deepEqual(
    [short?.record, short?.holds, short?.isWhole],
    [undefined, held, false],
    'what only it has said is lost',
  )
})

test('an OPEN some of whose leases nobody names is read without them', () => {
  const { identity } = openOf()
  const of = (participant: string, holds: JournaledHold[]) => openOf({ identity: { ...identity, participant }, holds })
  const [lost, kept] = [holdOf('a', [[leases[0], 5]]), holdOf('b', [[leases[1], 7]])]
  const records = [of('x', [lost]), of('y', [kept]), of('z', [lost, kept])]
  const [, second, third] = readTogether(records).texts
  const reader = new OpenReader(gatewayId, epoch)
  reader.read(second?.json ?? '')
  const read = reader.read(third?.json ?? '')
  assert.deepEqual([read.record, read.isWhole], [{ ...records[2], holds: [kept] }, false])
})
