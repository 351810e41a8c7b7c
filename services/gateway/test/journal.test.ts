import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { eventually, testFolder, testNats } from '@sluice/test-env'
import { listSegments } from '../src/journal/segment.ts'
import {
  areGapless,
  connectGateway,
  draftOf,
  openRecord,
  openTestJournal,
  postAll,
  projects,
  readStream,
  reversed,
} from './journal-env.ts'

test('what is closed is published once, in order, gap-free, as the very event that close gave back', async t => {
  const scope = reversed(t)
  const nats = await testNats(t)
  const bus = await connectGateway(scope, nats)
  const journal = await openTestJournal(scope, { directory: testFolder(t, 'journal'), bus })
  assert.equal(journal.state, 'ok')
  const given = []
  for (let i = 0; i < 700; i++) {
    const record = openRecord(projects[i % projects.length])
    journal.open(record)
    journal.checkpoint({
      event_id: record.event_id,
      at_ms: record.admitted_at_ms + 1,
      output_bytes: 4,
      quantities: { in_text: 12, out_text: 1 },
      provenance: { in_text: 'estimated', out_text: 'estimated' },
      http_status: 200,
    })
    given.push({ ...journal.close(draftOf(record), { urgent: i % 50 === 0 }) })
    if (i % 97 === 0) await journal.synced()
  }
  assert.ok(await journal.drain(60_000))
  const published = await readStream(nats.admin)
  assert.ok(areGapless(published.series))
  const byId = (a: { event_id: string }, b: { event_id: string }) => (a.event_id < b.event_id ? -1 : 1)
  assert.deepEqual(published.events.sort(byId), given.sort(byId))
  assert.ok(published.messages < 100, `${published.messages} messages for 700 events`)
})

test('an attempt is paid once: closing it again is refused', async t => {
  const scope = reversed(t)
  const nats = await testNats(t)
  const bus = await connectGateway(scope, nats)
  const journal = await openTestJournal(scope, { directory: testFolder(t, 'journal'), bus })
  const record = openRecord()
  journal.open(record)
  journal.close(draftOf(record), { urgent: true })
  assert.throws(() => journal.close(draftOf(record), { urgent: true }), /is not open/)
  assert.ok(await journal.drain(60_000))
  assert.equal((await readStream(nats.admin)).events.length, 1)
})

test('a shutdown closes the epoch behind its last event; the next run is the same gateway, an epoch later', async t => {
  const scope = reversed(t)
  const nats = await testNats(t)
  const bus = await connectGateway(scope, nats)
  const directory = join(testFolder(t, 'journal'), 'a')
  const first = await openTestJournal(scope, { directory, bus })
  const record = openRecord()
  first.open(record)
  first.close(draftOf(record), { urgent: false })
  await first.shutdown()
  const published = await readStream(nats.admin)
  const [closed] = published.closed
  assert.equal(closed?.gateway_id, first.gatewayId)
  assert.equal(closed?.closed_by, first.gatewayId)
  assert.equal(
    closed?.last.reduce((a, b) => a + b),
    1,
  )
  const ended: unknown[] = []
  let tries = 0
  const second = await openTestJournal(scope, {
    directory,
    bus,
    onRunEnded: async run => {
      if (tries++ === 0) throw new Error('no home answers')
      ended.push(run)
    },
  })
  assert.equal(second.gatewayId, first.gatewayId)
  assert.equal(second.epoch, first.epoch + 1)
  await eventually(() => ended.length > 0)
  assert.deepEqual(
    ended,
    [{ gatewayId: first.gatewayId, epoch: first.epoch, leases: [] }],
    'a run that names no lease has used none, which its homes hear too',
  )
})

test('segments are deleted only when billing has posted their events and nothing in them is open', async t => {
  const scope = reversed(t)
  const nats = await testNats(t)
  const bus = await connectGateway(scope, nats)
  const directory = testFolder(t, 'journal')
  const journal = await openTestJournal(scope, { directory, bus })
  const running = openRecord()
  const write = async () => {
    for (let i = 0; i < 200; i++) {
      const record = openRecord(projects[i % projects.length])
      journal.open(record)
      journal.close(draftOf(record), { urgent: false })
      if (i % 20 === 0) await journal.synced()
    }
    assert.ok(await journal.drain(60_000))
  }
  await write()
  const before = listSegments(directory).length
  assert.ok(before > 2, `${before} segments`)
  journal.open(running)
  await write()
  await postAll(nats.admin)
  // Those behind the running attempt stay, though all of their events are posted.
  const kept = await eventually(() => {
    const segments = listSegments(directory)
    return segments[0]?.number === before && segments
  })
  assert.ok(kept.length > 2)
  journal.close(draftOf(running), { urgent: true })
  assert.ok(await journal.drain(60_000))
  await postAll(nats.admin)
  await eventually(() => listSegments(directory).length === 1)
})
