import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connect } from '@nats-io/transport-node'
import { openBucket } from '@sluice/bus'
import { Mark } from '@sluice/contracts'
import { provisionBus, startNats } from '@sluice/stack'
import { eventually, testFolder, testNats } from '@sluice/test-env'
import {
  areGapless,
  connectGateway,
  draftOf,
  openRecord,
  openTestJournal,
  projects,
  readStream,
  reversed,
} from './journal-env.ts'

test('while NATS is away calls go on, and when it is back their usage is published in order, once', async t => {
  const scope = reversed(t)
  const dataDir = testFolder(t, 'nats')
  let nats = await startNats({ dataDir, durable: false })
  t.after(() => nats.stop())
  const { port } = nats
  const before = await connect({ servers: nats.url, ...nats.users.admin, reconnect: false })
  await provisionBus(before)
  await before.close()
  const bus = await connectGateway(scope, nats)
  const journal = await openTestJournal(scope, { directory: testFolder(t, 'journal'), bus })
  const ids: string[] = []
  const write = (count: number): void => {
    for (let i = 0; i < count; i++) {
      const record = openRecord(projects[i % projects.length])
      journal.open(record)
      journal.close(draftOf(record), { urgent: i % 100 === 0 })
      ids.push(record.event_id)
    }
  }
  write(300)
  for (let outage = 0; outage < 2; outage++) {
    nats.process.signal('SIGKILL')
    await nats.process.exited
    for (let i = 0; i < 10; i++) {
      write(200)
      await journal.synced()
    }
    assert.ok(journal.unpublishedEvents() >= 2_000)
    nats = await startNats({ dataDir, port, durable: false })
    assert.ok(await journal.drain(60_000))
  }
  const after = await connect({ servers: nats.url, ...nats.users.admin })
  scope.after(() => after.close())
  const { events, series } = await eventually(() => readStream(after))
  assert.ok(areGapless(series))
  assert.deepEqual(events.map(event => event.event_id).sort(), ids.sort())
})

test('what billing misses is published again', async t => {
  const scope = reversed(t)
  const nats = await testNats(t)
  const bus = await connectGateway(scope, nats)
  const journal = await openTestJournal(scope, { directory: testFolder(t, 'journal'), bus, gapAfterMs: 50 })
  let partition = 0
  for (let i = 0; i < 40; i++) {
    const record = openRecord()
    journal.open(record)
    partition = journal.close(draftOf(record), { urgent: false }).partition
  }
  assert.ok(await journal.drain(60_000))
  const before = await readStream(nats.admin)
  const marks = await openBucket({ ...bus, connection: nats.admin }, 'marks', Mark)
  const key = `${journal.gatewayId}.${journal.epoch}.${partition}`
  await marks.put(key, { contiguous: 10, last: 40, updated_at_ms: Date.now() })
  const after = await eventually(async () => {
    const found = await readStream(nats.admin)
    return found.messages > before.messages && found
  })
  assert.deepEqual(after.events, before.events)
})
