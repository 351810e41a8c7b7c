import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  closeSync,
  copyFileSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { eventually, testFolder, testNats } from '@sluice/test-env'
import { epochSource } from '../src/journal/epoch-source.ts'
import { JournalUnavailableError } from '../src/journal/journal.ts'
import type { OpenRecord } from '../src/journal/open-record.ts'
import { endEpoch } from '../src/journal/replay.ts'
import { RunningEpoch } from '../src/journal/running-epoch.ts'
import { listSegments, nodeIo } from '../src/journal/segment.ts'
import {
  areGapless,
  connectGateway,
  draftOf,
  log,
  openRecord,
  openTestJournal,
  projects,
  rate,
  readStream,
  reversed,
  type Scope,
} from './journal-env.ts'

function systemError(code: string): Error {
  return Object.assign(new Error(code), { code })
}

/** A disk of 4 MB that is really full when it is full. Undefined where we may not mount one. */
function smallDisk(t: TestContext, scope: Scope): string | undefined {
  const folder = testFolder(t, 'disk')
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', folder], { stdio: 'ignore' })
  } catch {
    return undefined
  }
  scope.after(() => void execFileSync('umount', ['-l', folder]))
  return folder
}

function fill(path: string): void {
  const fd = openSync(path, 'w')
  try {
    for (let size = 64 * 1024; size >= 1; size = Math.floor(size / 2)) {
      try {
        for (;;) writeSync(fd, Buffer.alloc(size))
      } catch {
        // Smaller pieces fill the rest.
      }
    }
  } finally {
    closeSync(fd)
  }
}

test('on a full disk no call begins, running ones settle, and it recovers alone', async t => {
  const scope = reversed(t)
  const disk = smallDisk(t, scope)
  if (!disk) return t.skip('needs the right to mount a tmpfs')
  const nats = await testNats(t)
  const bus = await connectGateway(scope, nats)
  const directory = join(disk, 'journal')
  const journal = await openTestJournal(scope, { directory, bus, reserveBytes: 64 * 1024, recoveryIntervalMs: 20 })
  const states: string[] = []
  journal.onState(state => states.push(state))
  const running = Array.from({ length: 200 }, (_, i) => openRecord(projects[i % projects.length]))
  for (const record of running) journal.open(record)
  fill(join(disk, 'filler'))

  const refused = eventually(() => {
    const record = openRecord()
    try {
      journal.open(record)
    } catch (error) {
      return error
    }
    running.push(record)
    return undefined
  })
  assert.ok((await refused) instanceof JournalUnavailableError)
  assert.equal(journal.state, 'full')
  // More than the reserve holds: the rest waits in memory.
  for (const record of running) journal.close(draftOf(record), { urgent: false })
  assert.throws(() => journal.open(openRecord()), { code: 'metering_unavailable', statusCode: 503 })
  assert.equal(await journal.drain(100), false)

  rmSync(join(disk, 'filler'))
  await eventually(() => journal.state === 'ok')
  assert.deepEqual(states, ['full', 'ok'])
  const after = openRecord()
  journal.open(after)
  journal.close(draftOf(after), { urgent: true })
  assert.ok(await journal.drain(60_000))
  const { events, series } = await readStream(nats.admin)
  assert.deepEqual(
    new Set(events.map(event => event.event_id)),
    new Set([...running, after].map(record => record.event_id)),
  )
  assert.ok(areGapless(series))
})

test('a disk that hangs is told by how long one sync takes, calls go on, and nothing is lost when it goes on', async t => {
  const scope = reversed(t)
  const nats = await testNats(t)
  const bus = await connectGateway(scope, nats)
  let hanging: PromiseWithResolvers<void> | undefined
  scope.after(() => hanging?.resolve())
  const io = {
    ...nodeIo,
    fdatasync: async (fd: number) => {
      await hanging?.promise
      await nodeIo.fdatasync(fd)
    },
  }
  const journal = await openTestJournal(scope, { directory: testFolder(t, 'journal'), bus, io })
  const records = [openRecord(), openRecord()] as const
  journal.open(records[0])
  await eventually(() => journal.syncingForMs === 0)
  hanging = Promise.withResolvers()
  journal.close(draftOf(records[0]), { urgent: true })
  await eventually(() => journal.syncingForMs > 100)
  journal.open(records[1])
  journal.close(draftOf(records[1]), { urgent: true })
  assert.deepEqual([journal.state, journal.unpublishedEvents()], ['ok', 2])
  hanging.resolve()
  hanging = undefined
  assert.ok(await journal.drain(60_000))
  await eventually(() => journal.syncingForMs === 0)
  const { events } = await readStream(nats.admin)
  assert.deepEqual(
    events.map(event => event.event_id),
    records.map(record => record.event_id),
  )
})

for (const fault of ['a failed sync', 'a failed write'] as const) {
  test(`after ${fault} records go to another file and nothing is lost or doubled`, async t => {
    const scope = reversed(t)
    const nats = await testNats(t)
    const bus = await connectGateway(scope, nats)
    const directory = testFolder(t, 'journal')
    let failing = 0
    const safe = new Map<number, number>()
    const io = {
      fdatasync: async (fd: number) => {
        const { ino, size } = fstatSync(fd)
        if (fault === 'a failed sync' && failing-- > 0) {
          // The system forgets what it could not write, and says so once.
          ftruncateSync(fd, safe.get(ino) ?? 0)
          throw systemError('EIO')
        }
        await nodeIo.fdatasync(fd)
        safe.set(ino, size)
      },
      writeSync: (...args: Parameters<typeof nodeIo.writeSync>) => {
        if (fault === 'a failed write' && failing-- > 0) throw systemError('EIO')
        return nodeIo.writeSync(...args)
      },
    }
    const journal = await openTestJournal(scope, { directory, bus, io, recoveryIntervalMs: 20 })
    const admitted: OpenRecord[] = []
    for (let round = 0; round < 30; round++) {
      if (round % 10 === 5) failing = 1
      const batch = [openRecord(projects[round % 3]), openRecord()]
      for (const record of batch) {
        try {
          journal.open(record)
          admitted.push(record)
        } catch (error) {
          assert.ok(error instanceof JournalUnavailableError)
        }
      }
      for (const record of admitted.slice(-batch.length))
        if (batch.includes(record)) journal.close(draftOf(record), { urgent: false })
      await journal.synced()
      await eventually(() => journal.state === 'ok')
    }
    assert.ok(listSegments(directory).length > 1)
    assert.ok(await journal.drain(60_000))
    const { events, series } = await readStream(nats.admin)
    assert.deepEqual(events.map(event => event.event_id).sort(), admitted.map(record => record.event_id).sort())
    assert.ok(areGapless(series))
  })
}

test('a segment is left without waiting for the disk, and nothing written meanwhile is lost', async t => {
  const directory = testFolder(t, 'journal')
  const io = {
    ...nodeIo,
    fdatasync: async (fd: number) => {
      await nodeIo.fdatasync(fd)
      await delay(5)
    },
  }
  const options = { directory, gatewayId: 'gw_1', epoch: 1, log, io, reserveBytes: 4096, syncIntervalMs: 1 }
  const epoch = new RunningEpoch({ ...options, segmentBytes: 8 * 1024 })
  const closed = new Set<string>()
  const left = new Set<number>()
  // Something is written in each turn of the loop, so no sync ever covers all of a segment.
  while (left.size < 20) {
    const record = openRecord(projects[closed.size % projects.length])
    epoch.open(record)
    closed.add(`${epoch.close(draftOf(record), false).partition} ${record.event_id}`)
    for (const { number } of listSegments(directory).slice(0, -1)) left.add(number)
    await new Promise(resolve => setImmediate(resolve))
  }
  await epoch.synced()
  const of = { directory, gatewayId: 'gw_1', epoch: 1, before: [], from: () => 1, log }
  const source = epochSource({ ...of, limit: epoch.readLimit })
  const read = new Set<string>()
  for (let lines = await source.next(); lines.length > 0; lines = await source.next())
    for (const { partition, json } of lines) read.add(`${partition} ${JSON.parse(json.toString()).event_id}`)
  assert.deepEqual(read, closed)
  await source.close()
  await epoch.stop()
})

test('what a power cut takes was never published, and what is left is settled under the published numbers', async t => {
  const directory = testFolder(t, 'journal')
  const lost = join(directory, 'after-the-cut')
  mkdirSync(lost)
  /** By inode: the bytes that stood in the file when its last good sync began. */
  const safe = new Map<number, number>()
  const io = {
    ...nodeIo,
    fdatasync: async (fd: number) => {
      const { ino, size } = fstatSync(fd)
      await nodeIo.fdatasync(fd)
      safe.set(ino, size)
    },
  }
  const epoch = new RunningEpoch({
    directory,
    gatewayId: 'gw_1',
    epoch: 1,
    log,
    io,
    reserveBytes: 4096,
    segmentBytes: 16 * 1024,
    syncIntervalMs: 1,
  })
  const source = epochSource({
    directory,
    gatewayId: 'gw_1',
    epoch: 1,
    before: [],
    from: () => 1,
    limit: epoch.readLimit,
    log,
  })
  await epoch.synced()
  const published = new Map<string, string>()
  for (let cut = 0; cut < 12; cut++) {
    for (let i = 0; i < 15; i++) {
      const record = openRecord(projects[i % projects.length])
      epoch.open(record)
      if (i % 5 !== 4) epoch.close(draftOf(record), i === cut)
      if (i % 4 === 0) await new Promise(resolve => setImmediate(resolve))
    }
    for (let lines = await source.next(); lines.length > 0; lines = await source.next())
      for (const { partition, seq, json } of lines) published.set(`${partition}.${seq}`, json.toString())

    // The cut: of the last file only what an fdatasync covers is left.
    rmSync(lost, { recursive: true })
    mkdirSync(lost)
    const segments = listSegments(directory)
    for (const segment of segments) {
      const copy = join(lost, basename(segment.path))
      const { ino, size } = statSync(segment.path)
      copyFileSync(segment.path, copy)
      if (segment === segments.at(-1)) truncateSync(copy, safe.get(ino) ?? 0)
      else assert.ok(size <= (safe.get(ino) ?? 0), 'a segment is left with nothing in it that is not synced')
    }
    const ended = await endEpoch({ directory: lost, segments: listSegments(lost), rate, endedBy: 'gw_2', log })
    assert.ok(ended)
    const { end } = ended
    const replayed = epochSource({
      directory: lost,
      gatewayId: 'gw_1',
      epoch: 1,
      before: [],
      from: () => 1,
      limit: () => end,
      log,
    })
    const kept = new Map<string, string>()
    for (let lines = await replayed.next(); lines.length > 0; lines = await replayed.next())
      for (const { partition, seq, json } of lines) kept.set(`${partition}.${seq}`, json.toString())
    for (const [place, json] of published) assert.equal(kept.get(place), json)
    await replayed.close()
  }
  assert.ok(published.size > 100, `${published.size} published`)
  await source.close()
  await epoch.stop()
})
