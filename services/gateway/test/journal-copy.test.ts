import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { eventually, testFolder } from '@sluice/test-env'
import type { Position } from '../src/journal/epoch-reader.ts'
import { RunningEpoch } from '../src/journal/running-epoch.ts'
import { listSegments, nodeIo } from '../src/journal/segment.ts'
import { withinDeadline } from '../src/journal/within-deadline.ts'
import { draftOf, log, openRecord, type Scope } from './journal-env.ts'

/** A run whose copy is made when the test says so, on a disk that can be full. */
function openCopied(t: Scope, { copyLateMs = 100 } = {}) {
  const directory = testFolder(t, 'journal')
  const asked: { upTo: Position; made: (isMade: boolean) => void }[] = []
  let isPrompt = false
  let refusals = 0
  let syncs = 0
  const epoch = new RunningEpoch({
    directory,
    gatewayId: 'gw_0',
    epoch: 1,
    log,
    segmentBytes: 16 * 1024,
    reserveBytes: 64 * 1024,
    recoveryIntervalMs: 600_000,
    copyLateMs,
    copy: upTo => (isPrompt ? Promise.resolve(true) : new Promise(made => asked.push({ upTo, made }))),
    io: {
      writeSync: (fd, buffer, offset, length, position) => {
        if (refusals > 0) {
          refusals--
          throw Object.assign(new Error('full'), { code: 'ENOSPC' })
        }
        return nodeIo.writeSync(fd, buffer, offset, length, position)
      },
      fdatasync: fd => {
        syncs++
        return nodeIo.fdatasync(fd)
      },
    },
  })
  t.after(() => epoch.stop())
  const call = (): void => {
    const record = openRecord()
    epoch.open(record)
    epoch.close(draftOf(record), false)
  }
  return {
    epoch,
    directory,
    asked,
    call,
    syncs: () => syncs,
    /** From now on every copy is made at once, also those that are under way. */
    copyAll: () => {
      isPrompt = true
      for (const { made } of asked) made(true)
    },
    /** The write of a turn and the first one by itself: what follows has the reserve. */
    fillDisk: () => {
      refusals = 2
    },
  }
}

test('syncs and segments go on while a copy is under way, and all that is synced meanwhile shares the next', async t => {
  const { epoch, directory, asked, call, syncs, copyAll } = openCopied(t, { copyLateMs: 600_000 })
  for (let i = 0; i < 200; i++) {
    call()
    if (i % 10 === 0) await delay(12)
  }
  assert.ok(syncs() > 3, `${syncs()} syncs`)
  assert.ok(listSegments(directory).length > 3)
  assert.equal(asked.length, 1)
  assert.deepEqual(epoch.readLimit(), { segment: 1, offset: 0 }, 'nothing is published before it is copied')

  const before = syncs()
  const all = epoch.synced()
  await eventually(() => syncs() > before)
  assert.equal(asked.length, 1)
  asked[0]?.made(true)
  await eventually(() => asked.length === 2)
  assert.ok((asked[1]?.upTo.segment ?? 0) > 3, 'the second copy is of all that came')
  copyAll()
  await all
  assert.equal(epoch.state, 'ok')
})

test('while a copy is late no call begins; what has begun is synced, and copied with the next', async t => {
  const { epoch, asked, call, syncs } = openCopied(t)
  call()
  await eventually(() => asked.length === 1)
  const running = openRecord()
  epoch.open(running)
  await eventually(() => epoch.state === 'behind')
  assert.throws(() => epoch.open(openRecord()), { code: 'metering_unavailable' })
  const before = syncs()
  epoch.close(draftOf(running), false)
  await eventually(() => syncs() > before)
  asked[0]?.made(true)
  await eventually(() => asked.length === 2)
  asked[1]?.made(true)
  await eventually(() => epoch.state === 'ok')
  call()
})

test('who has waited long enough is forgotten', async t => {
  const { epoch, call } = openCopied(t)
  const secured = withinDeadline(() => epoch.secured(), 20)
  for (let i = 0; i < 50; i++) {
    call()
    await assert.rejects(secured(), { code: 'metering_unavailable' })
    if (epoch.state !== 'ok') break
  }
  assert.equal(epoch.waiting, 0)
})

test('what a full disk makes stand in the file that is left counts as copied when it is copied', async t => {
  const { epoch, copyAll, fillDisk } = openCopied(t)
  const record = openRecord()
  epoch.open(record)
  let isSecured = false
  fillDisk()
  epoch.close(draftOf(record), true)
  assert.equal(epoch.state, 'full')
  void epoch.synced().then(() => {
    isSecured = true
  })
  await delay(80)
  assert.equal(isSecured, false)
  assert.deepEqual(epoch.readLimit(), { segment: 1, offset: 0 })
  copyAll()
  await eventually(() => isSecured)
})

test('a run whose last sync fails leaves no timer behind when it has stopped', async t => {
  const timers = () => process.getActiveResourcesInfo().filter(kind => kind === 'Timeout').length
  const syncing = Promise.withResolvers<void>()
  const begun = Promise.withResolvers<void>()
  const epoch = new RunningEpoch({
    directory: testFolder(t, 'journal'),
    gatewayId: 'gw_0',
    epoch: 1,
    log,
    segmentBytes: 16 * 1024,
    reserveBytes: 64 * 1024,
    recoveryIntervalMs: 600_000,
    io: {
      writeSync: nodeIo.writeSync,
      fdatasync: () => {
        begun.resolve()
        return syncing.promise
      },
    },
  })
  epoch.open(openRecord())
  epoch.secured().done.catch(() => {})
  await begun.promise
  const before = timers()
  const stopped = epoch.stop()
  syncing.reject(Object.assign(new Error('broken'), { code: 'EIO' }))
  await stopped
  assert.ok(timers() <= before)
})
