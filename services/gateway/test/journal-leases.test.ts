import assert from 'node:assert/strict'
import { readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { heldMoneyOf, type LeaseTotals, leaseTotalsOf, UsageRecorded, type UsageRecordedData } from '@sluice/contracts'
import type { JournaledHold } from '@sluice/leases'
import { eventually, testFolder } from '@sluice/test-env'
import type { EpochWriterOptions } from '../src/journal/epoch-writer.ts'
import type { CheckpointRecord, OpenRecord, UsageDraft } from '../src/journal/open-record.ts'
import { encodeFrames, readFrame, recordType } from '../src/journal/record.ts'
import { type EndedEpoch, endEpoch, type ReplayOptions } from '../src/journal/replay.ts'
import { RunningEpoch } from '../src/journal/running-epoch.ts'
import { listSegments, nodeIo } from '../src/journal/segment.ts'
import { draftOf, log, openRecord } from './journal-env.ts'

/** A nano-dollar a token. */
const rate = ({ quantities }: Pick<UsageDraft, 'quantities'>) => ({
  priced: true,
  line_items: [],
  cost_nano_usd: (quantities.in_text ?? 0) + (quantities.out_text ?? 0),
})

function openEpoch(directory: string, options: Partial<EpochWriterOptions> = {}): RunningEpoch {
  return new RunningEpoch({ directory, gatewayId: 'gw_1', epoch: 1, log, reserveBytes: 64 * 1024, ...options })
}

async function replay(directory: string, options: Partial<ReplayOptions> = {}): Promise<EndedEpoch> {
  const segments = listSegments(directory)
  const ended = await endEpoch({ directory, segments, rate, endedBy: 'gw_2', log, ...options })
  assert.ok(ended)
  return ended
}

function framesOf(path: string, from = 0): { type: number; json: Buffer; start: number; end: number }[] {
  const bytes = readFileSync(path)
  const frames = []
  let start = from
  for (let frame = readFrame(bytes, start); typeof frame === 'object'; frame = readFrame(bytes, start)) {
    frames.push({ ...frame, start })
    start = frame.end
  }
  return frames
}

const eventsOf = (directory: string): UsageRecordedData[] =>
  listSegments(directory)
    .flatMap(({ path }) => framesOf(path))
    .flatMap(({ type, json }) => (type === recordType.close ? [UsageRecorded.decode(json)] : []))

function holdOf(unit: JournaledHold['unit'], parts: JournaledHold['parts'], isExact = true): JournaledHold {
  return { budget_id: `bud_${unit}`, copy: '', window_start_ms: 0, unit, ...(isExact && { exact: true }), parts }
}

const holding = (...holds: JournaledHold[]): OpenRecord => ({ ...openRecord(), holds })

function checkpointOf(open: OpenRecord, output: number): CheckpointRecord {
  return {
    event_id: open.event_id,
    at_ms: open.admitted_at_ms + 1,
    output_bytes: output * 4,
    quantities: { in_text: 10, out_text: output },
    provenance: { in_text: 'measured', out_text: 'estimated' },
    http_status: 200,
  }
}

function totalsOf(lease_id: string, fields: Partial<LeaseTotals> = {}): LeaseTotals {
  return {
    lease_id,
    budget_id: 'bud_usd',
    copy: '',
    window_start_ms: 0,
    epoch: 1,
    granted: 1_000,
    settled_total: 0,
    returned_total: 0,
    unresolved: [],
    version: 1,
    done: false,
    ...fields,
  }
}

/** Of each lease: settled, and what is unresolved. */
const told = ({ leases }: EndedEpoch) =>
  Object.fromEntries(
    leases.map(lease => [
      lease.lease_id,
      [lease.settled_total, Object.fromEntries(lease.unresolved.map(each => [each.attempt_id, each.amount]))],
    ]),
  )

test('a killed attempt settles what it is estimated at in each unit, and where the hold is exact the rest is unresolved', async t => {
  const directory = testFolder(t, 'journal')
  const epoch = openEpoch(directory)
  const holds = [
    holdOf('usd', [
      ['u1', 15],
      ['u2', 85],
    ]),
    holdOf('tokens', [['t', 200]], false),
    holdOf('requests', [['r', 1]]),
    holdOf('concurrent', [['c', 1]]),
  ]
  const [silent, streaming, seat] = [
    holding(...holds),
    holding(...holds),
    { ...holding(...holds), paid_by: 'seat' as const },
  ]
  for (const record of [silent, streaming, seat]) epoch.open(record)
  epoch.checkpoint(checkpointOf(streaming, 20))
  await epoch.synced()
  await epoch.stop()
  const ended = await replay(directory)
  const [first, second, third] = eventsOf(directory)
  assert.deepEqual(first?.leases, [
    ['u1', 12],
    ['u2', 0],
    ['t', 12],
    ['r', 1],
  ])
  assert.deepEqual(first.lease_totals, first.leases)
  assert.deepEqual(first.unresolved, [
    ['u1', 3],
    ['u2', 85],
  ])
  assert.deepEqual(
    first.held.map(held => [held.budget_id, held.amount]),
    [
      ['bud_usd', 100],
      ['bud_tokens', 200],
      ['bud_requests', 1],
      ['bud_concurrent', 1],
    ],
  )
  assert.deepEqual(second?.leases, [
    ['u1', 15],
    ['u2', 15],
    ['t', 30],
    ['r', 1],
  ])
  assert.deepEqual(second.lease_totals, [
    ['u1', 27],
    ['u2', 15],
    ['t', 42],
    ['r', 2],
  ])
  assert.deepEqual(second.unresolved, [['u2', 70]])
  assert.deepEqual(
    third?.leases,
    [
      ['u1', 0],
      ['u2', 0],
      ['t', 12],
      ['r', 1],
    ],
    'what a seat costs is notional',
  )
  assert.deepEqual(told(ended), {
    u1: [27, { [silent.event_id]: 3, [seat.event_id]: 15 }],
    u2: [15, { [silent.event_id]: 85, [streaming.event_id]: 70, [seat.event_id]: 85 }],
    t: [54, {}],
    r: [3, {}],
    c: [0, {}],
  })
  assert.deepEqual(await replay(directory), ended, 'a replay that is repeated says the same')
})

test('what outlives its attempt is its holder’s, whether the attempt was closed or killed', async t => {
  const directory = testFolder(t, 'journal')
  const epoch = openEpoch(directory)
  const holds = (lease: string) => [holdOf('usd', [[lease, 50]]), holdOf('concurrent', [['c', 1]])]
  const killed = { ...holding(...holds('a')), holder: 'batch_killed', estimated_input: {} }
  const closed = { ...holding(...holds('b')), holder: 'batch_closed' }
  epoch.open(killed)
  epoch.open(closed)
  const handed = { holder: 'batch_closed', leases: [['b', 50]] as [string, number][] }
  epoch.close({ ...draftOf(closed), leases: [['b', 0]], lease_totals: [['b', 0]], handed }, false)
  await epoch.synced()
  await epoch.stop()
  const ended = await replay(directory)
  const [, event] = eventsOf(directory)
  assert.deepEqual([event?.handed, event?.unresolved], [{ holder: 'batch_killed', leases: [['a', 50]] }, undefined])
  const told = new Map(
    ended.leases.map(lease => [lease.lease_id, [lease.settled_total, lease.unresolved, lease.handed]]),
  )
  assert.deepEqual(told.get('a'), [0, [], [{ holder: 'batch_killed', amount: 50 }]])
  assert.deepEqual(told.get('b'), [0, [], [{ holder: 'batch_closed', amount: 50 }]])
})

test('what a killed attempt held for something that was never begun is free again, also of an exact budget', async t => {
  const directory = testFolder(t, 'journal')
  const epoch = openEpoch(directory)
  const attempt = (lease: string) => ({
    ...holding(holdOf('usd', [[lease, 50]])),
    holder: `batch_${lease}`,
    estimated_input: {},
  })
  const [never, begun] = [attempt('never'), attempt('begun')]
  for (const open of [never, begun]) epoch.open(open)
  await epoch.synced()
  await epoch.stop()
  const away = async (): Promise<boolean> => {
    throw new Error('NATS is away')
  }
  await assert.rejects(replay(directory, { isBegun: away }), /NATS is away/)
  const ended = await replay(directory, { isBegun: async ({ event_id }) => event_id === begun.event_id })
  const told = new Map(
    ended.leases.map(lease => [lease.lease_id, [lease.settled_total, lease.unresolved, lease.handed]]),
  )
  assert.deepEqual(told.get('begun'), [0, [], [{ holder: 'batch_begun', amount: 50 }]])
  const [settled, unresolved, handed = []] = told.get('never') ?? []
  assert.deepEqual([settled, unresolved, handed], [0, [], []])
})

test('what was closed settles as its CLOSE says, and leases that were only held are named', async t => {
  const directory = testFolder(t, 'journal')
  const epoch = openEpoch(directory)
  const [closed, unmeasured] = [
    holding(holdOf('usd', [['a', 50]])),
    holding(
      holdOf('usd', [
        ['a', 40],
        ['b', 10],
      ]),
    ),
  ]
  epoch.open(closed)
  epoch.open(unmeasured)
  const own = {
    leases: [['a', 7]],
    lease_totals: [['a', 27]],
    held: [{ budget_id: 'bud_usd', copy: '', window_start_ms: 0, amount: 50 }],
  }
  epoch.close({ ...draftOf(closed), ...(own as Partial<UsageDraft>) }, false)
  epoch.close(
    {
      ...draftOf(unmeasured),
      leases: [['a', 3]],
      lease_totals: [['a', 30]],
      unresolved: [
        ['a', 37],
        ['b', 10],
      ],
    },
    false,
  )
  await epoch.synced()
  await epoch.stop()
  assert.deepEqual(told(await replay(directory)), {
    a: [30, { [unmeasured.event_id]: 37 }],
    b: [0, { [unmeasured.event_id]: 10 }],
  })
  const [event] = eventsOf(directory)
  assert.deepEqual({ leases: event?.leases, lease_totals: event?.lease_totals, held: event?.held }, own)
})

test('an extension counts with what it says of each budget, and one without a record is refused', async t => {
  const directory = testFolder(t, 'journal')
  let isFull = false
  const epoch = openEpoch(directory, {
    recoveryIntervalMs: 600_000,
    io: {
      ...nodeIo,
      writeSync: (...write) => {
        if (isFull) throw Object.assign(new Error('full'), { code: 'ENOSPC' })
        return nodeIo.writeSync(...write)
      },
    },
  })
  const open = holding(holdOf('usd', [['a', 20]]), holdOf('tokens', [['t', 50]]))
  epoch.open(open)
  const { event_id } = open
  assert.ok(
    epoch.extend({
      event_id,
      holds: [
        holdOf('usd', [
          ['a', 20],
          ['b', 30],
        ]),
      ],
    }),
  )
  assert.ok(
    epoch.extend({
      event_id,
      holds: [
        holdOf('usd', [
          ['a', 20],
          ['b', 60],
        ]),
      ],
    }),
  )
  assert.ok(
    !epoch.extend({ event_id: openRecord().event_id, holds: [holdOf('usd', [['z', 1]])] }),
    'nothing of it runs',
  )
  await epoch.synced()
  isFull = true
  assert.ok(
    !epoch.extend({
      event_id,
      holds: [
        holdOf('usd', [
          ['a', 20],
          ['b', 90],
        ]),
      ],
    }),
    'the disk refuses it',
  )
  isFull = false
  assert.equal(epoch.state, 'full')
  assert.ok(
    !epoch.extend({
      event_id,
      holds: [
        holdOf('usd', [
          ['a', 20],
          ['b', 91],
        ]),
      ],
    }),
    'the reserve is for CLOSEs',
  )
  await epoch.stop()
  const ended = await replay(directory)
  assert.deepEqual(told(ended), {
    a: [12, { [event_id]: 8 }],
    b: [0, { [event_id]: 60 }],
    t: [12, { [event_id]: 38 }],
  })
  assert.deepEqual(
    eventsOf(directory)
      .at(-1)
      ?.held.map(held => held.amount),
    [50, 80],
  )
})

test('an attempt that could have no OPEN names its leases with its CLOSE', async t => {
  const directory = testFolder(t, 'journal')
  let refusals = 0
  const epoch = openEpoch(directory, {
    recoveryIntervalMs: 600_000,
    io: {
      ...nodeIo,
      writeSync: (...write) => {
        if (refusals-- > 0) throw Object.assign(new Error('full'), { code: 'ENOSPC' })
        return nodeIo.writeSync(...write)
      },
    },
  })
  refusals = 2
  const begun = holding(holdOf('usd', [['a', 50]]))
  assert.ok(epoch.openBegun(begun), 'the disk refuses its OPEN')
  epoch.close({ ...draftOf(begun), leases: [['a', 40]], lease_totals: [['a', 40]] }, false)
  await epoch.synced()
  await epoch.stop()
  assert.deepEqual(told(await replay(directory)), { a: [40, {}] })
})

test('torn at any record, a journal names the leases of what it still knows, and settles them once', async t => {
  const directory = testFolder(t, 'journal')
  const epoch = openEpoch(directory)
  const [closed, killed] = [holding(holdOf('usd', [['a', 50]])), holding(holdOf('usd', [['a', 30]]))]
  epoch.open(closed)
  epoch.open(killed)
  epoch.extend({
    event_id: killed.event_id,
    holds: [
      holdOf('usd', [
        ['a', 30],
        ['b', 5],
      ]),
    ],
  })
  epoch.close({ ...draftOf(closed), leases: [['a', 40]], lease_totals: [['a', 40]] }, false)
  await epoch.synced()
  await epoch.stop()
  const [segment] = listSegments(directory)
  assert.ok(segment)
  const expected = [
    {},
    { a: [12, { [closed.event_id]: 38 }] },
    { a: [24, { [closed.event_id]: 38, [killed.event_id]: 18 }] },
    { a: [24, { [closed.event_id]: 38, [killed.event_id]: 18 }], b: [0, { [killed.event_id]: 5 }] },
    { a: [52, { [killed.event_id]: 18 }], b: [0, { [killed.event_id]: 5 }] },
  ]
  const ends = framesOf(segment.path).map(frame => frame.end)
  assert.equal(ends.length, expected.length)
  const whole = readFileSync(segment.path)
  for (const [at, end] of ends.entries()) {
    const torn = testFolder(t, `torn-${at}`)
    const path = `${torn}/0000000001-0000000001.journal`
    writeFileSync(path, whole)
    truncateSync(path, Math.min(whole.length, end + 5))
    assert.deepEqual(told(await replay(torn)), expected[at])
  }
})

/** A run's only segment in the bytes of its time: one attempt closed, one extended and killed, two killed. */
const keptSegment = (format: number): Buffer =>
  readFileSync(join(import.meta.dirname, 'fixtures', `journal-format-${format}.journal`))

test('kept journals of each format are read alike: what calls have alike once or each time, money in short or in full', async t => {
  const killedEvents = []
  for (const format of [1, 2]) {
    const directory = testFolder(t, `format-${format}`)
    writeFileSync(`${directory}/0000000003-0000000001.journal`, keptSegment(format))
    const [closed, extended, unheld, other] = [1, 2, 3, 4].map(n => `01a208f5-8723-70a1-9eb1-6bf3e235e4c${n}`)
    assert.ok(closed && extended && unheld && other)
    assert.deepEqual(told(await replay(directory)), {
      'gw_0011-3-7-0': [61, { [extended]: 69 }],
      'gw_0011-3-7-1': [44, { [extended]: 9 }],
      'gw_0011-3-8-0': [12, { [other]: 8 }],
    })
    const events = eventsOf(directory)
    assert.deepEqual(
      events.map(({ event_id, seq }) => [event_id, seq]),
      [closed, extended, unheld, other].map((id, at) => [id, at + 1]),
    )
    const money = { copy: 'mem_01', window_start_ms: 1_795_392_000_000 }
    const held = (usd: number, tokens: number) => [
      { budget_id: 'bud_01', ...money, amount: usd },
      { budget_id: 'bud_02', ...money, amount: tokens },
    ]
    const [first, ...killed] = events
    assert.ok(first)
    assert.deepEqual(heldMoneyOf(first), held(50, 50))
    assert.deepEqual(leaseTotalsOf(first), [
      ['gw_0011-3-7-0', 40],
      ['gw_0011-3-7-1', 23],
    ])
    killedEvents.push(
      killed.map(event => ({ ...event, held: event.held.sort((a, b) => (a.budget_id < b.budget_id ? -1 : 1)) })),
    )
  }
  assert.deepEqual(killedEvents[0], killedEvents[1])
})

test('a journal of a format that is not known is left as it is', async t => {
  const directory = testFolder(t, 'journal')
  const path = `${directory}/0000000001-0000000001.journal`
  const head = { format: 3, gateway_id: 'gw_1', epoch: 1, segment: 1, last: Array(8).fill(0), created_at_ms: 1 }
  const bytes = encodeFrames([{ type: recordType.header, json: JSON.stringify(head) }])
  writeFileSync(path, bytes)
  await assert.rejects(replay(directory), /journal format 3 is not known/)
  assert.deepEqual(readFileSync(path), bytes)
})

/** Attempts of one caller on one lease, opened in one turn: they go to the system in one write, and refer to each other there. */
async function openTogether(epoch: RunningEpoch): Promise<OpenRecord[]> {
  const { identity } = openRecord()
  const opens = [50, 30, 20].map(amount => ({ ...holding(holdOf('usd', [['gw_1-1-7-0', amount]])), identity }))
  const written = opens.map(open => new Promise<unknown>(resolve => epoch.open(open, resolve)))
  assert.deepEqual(await Promise.all(written), [undefined, undefined, undefined])
  return opens
}

test('attempts of one write are each found, wherever behind them the journal is torn', async t => {
  const directory = testFolder(t, 'journal')
  const epoch = openEpoch(directory)
  const opens = await openTogether(epoch)
  const [first] = opens
  assert.ok(first)
  epoch.close({ ...draftOf(first), drawn: [[['bud_usd', '', 0], 50, [['7-0', 40, 40]]]] }, false)
  await epoch.synced()
  await epoch.stop()
  const [segment] = listSegments(directory)
  assert.ok(segment)
  const frames = framesOf(segment.path)
  assert.match(frames[2]?.json.toString() ?? '', /"parts":\[\["7-0",30\]\]/)
  const killed = [38, 18, 8]
  const found = (count: number): Record<string, number> =>
    Object.fromEntries(opens.slice(0, count).map((open, at) => [open.event_id, killed[at] ?? 0]))
  const { [first.event_id]: _, ...others } = found(3)
  const expected = [
    {},
    { 'gw_1-1-7-0': [12, found(1)] },
    { 'gw_1-1-7-0': [24, found(2)] },
    { 'gw_1-1-7-0': [36, found(3)] },
    { 'gw_1-1-7-0': [64, others] },
  ]
  const whole = readFileSync(segment.path)
  for (const [at, { end }] of frames.entries()) {
    const torn = testFolder(t, `torn-${at}`)
    writeFileSync(`${torn}/0000000001-0000000001.journal`, whole)
    truncateSync(`${torn}/0000000001-0000000001.journal`, Math.min(whole.length, end + 5))
    assert.deepEqual(told(await replay(torn)), expected[at])
    for (const { identity, status } of eventsOf(torn))
      if (status === 'killed') assert.deepEqual(identity, first.identity)
  }
})

test('attempts of one write that the disk did not take together are each written in full', async t => {
  const directory = testFolder(t, 'journal')
  let failures = 0
  const epoch = openEpoch(directory, {
    recoveryIntervalMs: 600_000,
    io: {
      ...nodeIo,
      writeSync: (...write) => {
        if (failures-- > 0) throw Object.assign(new Error('broken'), { code: 'EIO' })
        return nodeIo.writeSync(...write)
      },
    },
  })
  const { identity } = openRecord()
  const opens = [50, 30, 20].map(amount => ({ ...holding(holdOf('usd', [['gw_1-1-7-0', amount]])), identity }))
  // The write of all, and the first one's own.
  failures = 2
  const written = opens.map(open => new Promise<unknown>(resolve => epoch.open(open, resolve)))
  const [lost, ...kept] = await Promise.all(written)
  assert.ok(lost instanceof Error)
  assert.deepEqual(kept, [undefined, undefined])
  await epoch.stop()
  const [, second, third] = opens
  assert.deepEqual(told(await replay(directory)), {
    'gw_1-1-7-0': [24, { [second?.event_id ?? '']: 18, [third?.event_id ?? '']: 8 }],
  })
})

/** Opens in the turn of a CLOSE, behind it: the CLOSE is the first record of their write. */
async function closeAndOpen(epoch: RunningEpoch, closed: OpenRecord, opens: readonly OpenRecord[]): Promise<unknown[]> {
  const answered = new Promise<void>(resolve => epoch.close(draftOf(closed), false, resolve))
  const written = opens.map(open => new Promise<unknown>(resolve => epoch.open(open, resolve)))
  const [errors] = await Promise.all([Promise.all(written), answered])
  return errors
}

test('an attempt refers only to what its own write says, whatever record that begins with', async t => {
  const directory = testFolder(t, 'journal')
  const epoch = openEpoch(directory)
  const { identity } = openRecord()
  const [before, ...opens] = [50, 30, 20].map(amount => ({
    ...holding(holdOf('usd', [['gw_1-1-7-0', amount]])),
    identity,
  }))
  assert.ok(before)
  epoch.open(before)
  assert.deepEqual(await closeAndOpen(epoch, before, opens), [undefined, undefined])
  await epoch.stop()
  const [segment] = listSegments(directory)
  assert.ok(segment)
  const [, second, third] = framesOf(segment.path)
    .filter(({ type }) => type === recordType.open)
    .map(({ json }) => JSON.parse(json.toString()))
  assert.deepEqual(second, JSON.parse(JSON.stringify(opens[0])), 'what an earlier write said is said again')
  assert.deepEqual([third.as, third.parts], [opens[0]?.event_id, [['7-0', 20]]], 'and once in a write')
})

test('an attempt is found also where the one before it is in no file', async t => {
  const directory = testFolder(t, 'journal')
  let failures = 0
  const epoch = openEpoch(directory, {
    recoveryIntervalMs: 20,
    io: {
      ...nodeIo,
      writeSync: (...write) => {
        if (failures-- > 0) throw Object.assign(new Error('broken'), { code: 'EIO' })
        return nodeIo.writeSync(...write)
      },
    },
  })
  const { identity } = openRecord()
  const [closed, refused, killed] = [50, 30, 20].map(amount => ({
    ...holding(holdOf('usd', [['gw_1-1-7-0', amount]])),
    identity,
  }))
  assert.ok(closed && refused && killed)
  epoch.open(closed)
  failures = 2
  assert.throws(() => epoch.open(refused))
  failures = 0
  await eventually(() => epoch.state === 'ok')
  assert.deepEqual(await closeAndOpen(epoch, closed, [killed]), [undefined])
  await epoch.stop()
  assert.deepEqual(told(await replay(directory)), { 'gw_1-1-7-0': [12, { [killed.event_id]: 8 }] })
  assert.deepEqual(
    eventsOf(directory).map(({ event_id }) => event_id),
    [closed.event_id, killed.event_id],
  )
})

/** @returns where the record ends that can no longer be read */
function damageFirstOpen(directory: string): { path: string; end: number } {
  const [segment] = listSegments(directory)
  const first = segment && framesOf(segment.path).find(({ type }) => type === recordType.open)
  assert.ok(first)
  const bytes = readFileSync(segment.path)
  bytes.writeUInt8(bytes.readUInt8(first.end - 2) ^ 0xff, first.end - 2)
  writeFileSync(segment.path, bytes)
  return { path: segment.path, end: first.end }
}

test('what a lease has come to counts where all is damaged that named it before the event', async t => {
  const directory = testFolder(t, 'journal')
  const epoch = openEpoch(directory)
  const open = holding(holdOf('usd', [['gw_1-1-7-0', 50]]))
  epoch.open(open)
  epoch.close({ ...draftOf(open), drawn: [[['bud_usd', '', 0], 50, [['7-0', 40, 140]]]] }, false)
  await epoch.stop()
  damageFirstOpen(directory)
  assert.deepEqual(told(await replay(directory)), { 'gw_1-1-7-0': [140, {}] })
})

test('what an attempt holds is set aside where a damaged one takes its caller, and others lose nothing', async t => {
  const directory = testFolder(t, 'journal')
  const epoch = openEpoch(directory)
  const { identity } = openRecord()
  const mine = (amount: number) => ({ ...holding(holdOf('usd', [['gw_1-1-7-0', amount]], false)), identity })
  const begun = { ...openRecord(), identity }
  const opens = [
    { ...openRecord(), identity },
    mine(30),
    { ...holding(holdOf('usd', [['gw_1-1-7-0', 20]], false)), identity: { ...identity, participant: 'other' } },
    { ...mine(40), holder: 'batch_1' },
    { ...mine(50), holder: 'batch_2' },
    begun,
  ]
  const written = opens.map(open => new Promise<unknown>(resolve => epoch.open(open, resolve)))
  await Promise.all(written)
  const background = { response_id: 'resp_1' } as NonNullable<CheckpointRecord['background']>
  epoch.checkpoint({ ...checkpointOf(begun, 0), background })
  await epoch.stop()
  const first = damageFirstOpen(directory)
  const recorded: unknown[] = []
  const options: Partial<ReplayOptions> = {
    isBegun: async ({ event_id }) => event_id === opens[3]?.event_id,
    recordBackground: async job => void recorded.push(job),
  }
  for (const time of ['once', 'twice']) {
    const ended = await replay(directory, options)
    assert.deepEqual(told(ended), { 'gw_1-1-7-0': [12, { [opens[1]?.event_id ?? '']: 30 }] }, time)
    assert.deepEqual(ended.leases[0]?.handed, [{ holder: 'batch_1', amount: 40 }], time)
    assert.deepEqual(recorded, [background], 'what was begun in the background is settled by others, and told once')
  }
  const events = framesOf(first.path, first.end).filter(({ type }) => type === recordType.close)
  assert.deepEqual(
    events.map(({ json }) => UsageRecorded.decode(json).event_id),
    [opens[2]?.event_id],
  )
})

test('attempts of one write are each found where a failed sync has it written again', async t => {
  const directory = testFolder(t, 'journal')
  let failures = 1
  const epoch = openEpoch(directory, {
    recoveryIntervalMs: 20,
    io: {
      ...nodeIo,
      fdatasync: async fd => {
        await nodeIo.fdatasync(fd)
        if (failures-- > 0) throw Object.assign(new Error('broken'), { code: 'EIO' })
      },
    },
  })
  const opens = await openTogether(epoch)
  await epoch.synced()
  await epoch.stop()
  const segments = listSegments(directory)
  assert.ok(segments.length > 1)
  const both = told(await replay(directory))
  assert.deepEqual(both, {
    'gw_1-1-7-0': [36, Object.fromEntries(opens.map(({ event_id }, at) => [event_id, [38, 18, 8][at]]))],
  })
})

test('records that a failed sync and a segment’s end have written twice count once', async t => {
  const directory = testFolder(t, 'journal')
  let failures = 0
  const epoch = openEpoch(directory, {
    recoveryIntervalMs: 20,
    io: {
      ...nodeIo,
      fdatasync: async fd => {
        await nodeIo.fdatasync(fd)
        if (failures-- > 0) throw Object.assign(new Error('broken'), { code: 'EIO' })
      },
    },
  })
  const [closed, killed] = [holding(holdOf('usd', [['a', 50]])), holding(holdOf('usd', [['a', 30]]))]
  epoch.open(closed)
  epoch.open(killed)
  for (const amount of [5, 9])
    epoch.extend({
      event_id: killed.event_id,
      holds: [
        holdOf('usd', [
          ['a', 30],
          ['b', amount],
        ]),
      ],
    })
  epoch.close({ ...draftOf(closed), leases: [['a', 40]], lease_totals: [['a', 40]], unresolved: [['a', 10]] }, false)
  failures = 1
  await epoch.synced()
  await eventually(() => epoch.state === 'ok')
  await epoch.stop()
  const segments = listSegments(directory)
  assert.equal(segments.length, 2)
  const types = (path: string) => framesOf(path).map(frame => frame.type)
  const [first = [], second = []] = segments.map(({ path }) => types(path))
  assert.deepEqual(second.slice(0, first.length), first)
  // Killed in the middle of writing them again: what stands in the old file alone is not taken back.
  const rewritten = framesOf(segments[1]?.path ?? '')
  const firstExtension = rewritten.find(frame => frame.type === recordType.extend)
  truncateSync(segments[1]?.path ?? '', firstExtension?.end ?? 0)
  const ended = await replay(directory)
  assert.deepEqual(told(ended), {
    a: [52, { [closed.event_id]: 10, [killed.event_id]: 18 }],
    b: [0, { [killed.event_id]: 9 }],
  })
})

/** A wallet of one lease, and calls that settle into it. */
function walletOf(epoch: () => RunningEpoch) {
  const leases = new Map<string, LeaseTotals>()
  return {
    listLeases: () => [...leases.values()],
    forget: (leaseId: string) => void leases.delete(leaseId),
    call: (leaseId: string, used: number, unresolved = 0) => {
      const lease = leases.get(leaseId) ?? totalsOf(leaseId)
      const open = holding(holdOf('usd', [[leaseId, used + unresolved]]))
      epoch().open(open)
      lease.settled_total += used
      lease.version++
      if (unresolved > 0) lease.unresolved.push({ attempt_id: open.event_id, amount: unresolved })
      leases.set(leaseId, lease)
      epoch().close(
        {
          ...draftOf(open),
          leases: [[leaseId, used]],
          lease_totals: [[leaseId, lease.settled_total]],
          ...(unresolved > 0 && { unresolved: [[leaseId, unresolved]] }),
        },
        false,
        // Written at the end of the turn, as under load.
        () => {},
      )
      return open.event_id
    },
  }
}

test('a segment dropped with its totals', async t => {
  const directory = testFolder(t, 'journal')
  const wallet = walletOf(() => epoch)
  const epoch = openEpoch(directory, { segmentBytes: 4_000, listLeases: wallet.listLeases })
  const unmeasured = wallet.call('a', 5, 70)
  wallet.call('answered', 9)
  let settled = 5
  const fill = async (): Promise<void> => {
    const before = listSegments(directory).length
    while (listSegments(directory).length === before) {
      wallet.call('a', 1)
      settled++
      await epoch.synced()
    }
  }
  await fill()
  wallet.forget('answered')
  // Its records stand in the next segment, and are not secured yet.
  epoch.deletePosted(() => Number.MAX_SAFE_INTEGER)
  assert.equal(listSegments(directory)[0]?.number, 1, 'nothing is dropped before the next one states its totals')
  await fill()
  await eventually(async () => {
    await epoch.synced()
    epoch.deletePosted(() => Number.MAX_SAFE_INTEGER)
    return listSegments(directory)[0]?.number === 3
  })
  const killed = holding(holdOf('usd', [['a', 30]]))
  epoch.open(killed)
  await epoch.synced()
  await epoch.stop()
  const ended = await replay(directory)
  assert.deepEqual(told(ended), { a: [settled + 12, { [unmeasured]: 70, [killed.event_id]: 18 }] })
  assert.deepEqual(eventsOf(directory).at(-1)?.lease_totals, [['a', settled + 12]])
})

test('totals stand behind every CLOSE that they count, wherever the journal is torn', async t => {
  const directory = testFolder(t, 'journal')
  const wallet = walletOf(() => epoch)
  const epoch = openEpoch(directory, { segmentBytes: 2_000, listLeases: wallet.listLeases })
  const rounds = 12
  for (let i = 0; i < rounds; i++) {
    for (let n = 0; n < 3; n++) wallet.call('a', 10)
    await new Promise(setImmediate)
    wallet.call('a', 10)
    if (i % 2 === 0) await epoch.synced()
  }
  await epoch.synced()
  await epoch.stop()
  const frames = listSegments(directory).flatMap(({ path }) => framesOf(path))
  let [counted, stated] = [0, 0]
  for (const { type, json } of frames) {
    if (type === recordType.close) counted = Math.max(counted, UsageRecorded.decode(json).lease_totals?.[0]?.[1] ?? 0)
    if (type !== recordType.lease) continue
    stated++
    assert.ok((JSON.parse(json.toString()) as LeaseTotals).settled_total <= counted)
  }
  assert.ok(stated > 3, `${stated} LEASE records`)
  assert.equal(counted, rounds * 40)
})

test('many leases do not fill segments by themselves', async t => {
  const directory = testFolder(t, 'journal')
  const leases = Array.from({ length: 100 }, (_, i) => totalsOf(`lease_${i}`))
  const epoch = openEpoch(directory, { segmentBytes: 2_000, listLeases: () => leases })
  const record = openRecord()
  epoch.open(record)
  t.after(() => epoch.stop())
  for (let i = 0; i < 40; i++) {
    epoch.checkpoint(checkpointOf(record, i))
    // Resolves also where each segment's end makes the next one.
    await Promise.race([epoch.synced(), delay(100)])
    assert.ok(listSegments(directory).length < 10)
  }
  const before = listSegments(directory).length
  for (let i = 0; i < 20; i++) {
    await new Promise(setImmediate)
    await epoch.synced()
  }
  assert.equal(listSegments(directory).length, before)
  await epoch.stop()
  assert.equal((await replay(directory)).leases.length, leases.length)
})

test('who waits for what is synced already waits for nothing, and costs no sync', async t => {
  const directory = testFolder(t, 'journal')
  let syncs = 0
  const epoch = openEpoch(directory, {
    io: {
      ...nodeIo,
      fdatasync: fd => {
        syncs++
        return nodeIo.fdatasync(fd)
      },
    },
  })
  epoch.open(holding(holdOf('usd', [['a', 1]])))
  await epoch.synced()
  const before = syncs
  for (let i = 0; i < 1_000; i++) await epoch.synced()
  assert.equal(syncs, before)
  await epoch.stop()
})
