import assert from 'node:assert/strict'
import test from 'node:test'
import { compareViews, judge, type Views } from './compare.ts'
import { brokenPromises } from './scenario.ts'

const call = (n: number) => ({
  n,
  streamed: false,
  startedAtMs: 0,
  durationMs: 1,
  callId: `call-${n}`,
  providerRequestId: `req-${n}`,
  status: 200,
  bytes: 10,
  ended: 'whole' as const,
})
const event = (n: number) => ({
  eventId: `event-${n}`,
  callId: `call-${n}`,
  attempt: 1,
  status: 'completed' as const,
  providerRequestId: `req-${n}`,
  costNanoUsd: 100 + n,
  estimated: false,
})

/** Three calls on which everyone agrees. */
const sound = (): Views => ({
  calls: [call(1), call(2), call(3)],
  events: [event(1), event(2), event(3)],
  total: { events: 3, costNanoUsd: 306n },
  rows: [1, 2, 3].map(n => ({ eventId: `event-${n}`, costNanoUsd: 100 + n })),
  bill: [1, 2, 3].map(n => ({ id: `req-${n}`, ended: 'completed', costNanoUsd: 100 + n })),
})
const broken = (views: Views) => brokenPromises(judge(compareViews(views), views))

test('views that agree break no promise', () => assert.deepEqual(broken(sound()), []))

test('a call without an event is lost', () => {
  const views = sound()
  assert.match(broken({ ...views, events: views.events.slice(1) }).join('\n'), /calls lost: 1 \(call-1/)
})

test('a line of the bill that no event can stand for is found, though the client saw no answer', () => {
  const views = { ...sound(), bill: [...sound().bill, { id: 'req-4', ended: 'aborted', costNanoUsd: 5 }] }
  assert.match(broken(views).join('\n'), /provider calls without an event: 1/)
  const killed = { ...event(4), status: 'killed' as const, providerRequestId: undefined }
  assert.equal(compareViews({ ...views, events: [...views.events, killed] }).unbilled, 0)
})

test('an event twice in the log, or two events of one attempt, is doubled', () => {
  const views = sound()
  assert.match(broken({ ...views, events: [...views.events, event(1)] }).join('\n'), /events doubled: 3/)
  const again = { ...event(1), eventId: 'event-9', providerRequestId: undefined }
  assert.match(broken({ ...views, events: [...views.events, again] }).join('\n'), /events doubled: 1/)
})

test('a row that ClickHouse lacks, has too much or prices otherwise is found', () => {
  const views = sound()
  assert.match(broken({ ...views, rows: views.rows.slice(1) }).join('\n'), /differ in ClickHouse: 1/)
  assert.match(
    broken({ ...views, rows: [...views.rows, { eventId: 'x', costNanoUsd: 1 }] }).join('\n'),
    /ClickHouse: 1/,
  )
  const dearer = views.rows.map(row => ({ ...row, costNanoUsd: row.costNanoUsd + 1 }))
  assert.match(broken({ ...views, rows: dearer }).join('\n'), /differ in ClickHouse: 3/)
})

test('an answer read to its end whose event is another one is found', () => {
  const views = sound()
  const events = views.events.map(each => ({ ...each, status: 'killed' as const }))
  assert.match(broken({ ...views, events }).join('\n'), /on record as something else: 3/)
})

test('what is missing from the bill is told apart by what was known of it', () => {
  const cutOff = { ...event(2), status: 'killed' as const, costNanoUsd: 60 }
  const unanswered = { ...event(3), status: 'killed' as const, costNanoUsd: 3, providerRequestId: undefined }
  const { sums } = compareViews({ ...sound(), events: [event(1), cutOff, unanswered] })
  assert.deepEqual(sums, {
    all: { log: 164n, bill: 306n },
    finished: { log: 101n, bill: 101n },
    cutOff: { log: 60n, bill: 102n },
    unanswered: { log: 3n, bill: 103n },
  })
})

test('a cost that is not the bill’s, or a ledger that is not the sum, is found', () => {
  const views = sound()
  const bill = views.bill.map(line => ({ ...line, costNanoUsd: line.costNanoUsd + 1 }))
  assert.match(broken({ ...views, bill }).join('\n'), /another cost than the bill: 3/)
  assert.match(broken({ ...views, total: { events: 3, costNanoUsd: 307n } }).join('\n'), /nano-USD: 1/)
})
