import assert from 'node:assert/strict'
import { closeSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { createLogger } from '@sluice/runtime'
import { EpochWriter } from './epoch-writer.ts'
import { createReserveInPieces, nodeIo, type SegmentIo } from './segment.ts'

const reserveBytes = 4 * 1024 * 1024

function newFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-segment-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Counts turns of the loop; ends with the test. */
function countTurns(t: TestContext): () => number {
  let turns = 0
  let next = setImmediate(function count() {
    turns++
    next = setImmediate(count)
  })
  t.after(() => clearImmediate(next))
  return () => turns
}

test('a reserve that is made beside running calls holds none of them up for longer than a piece', async t => {
  const folder = newFolder(t)
  const turns = countTurns(t)
  const writtenIn: number[] = []
  const io: SegmentIo = {
    ...nodeIo,
    writeSync(...args) {
      writtenIn.push(turns())
      return nodeIo.writeSync(...args)
    },
  }
  const reserve = await createReserveInPieces(folder, io, reserveBytes)
  closeSync(reserve.fd)
  assert.equal(statSync(reserve.path).size, reserveBytes)
  assert.equal(new Set(writtenIn).size, 4, `4 pieces were written in turns ${writtenIn}`)
})

for (const fault of ['writeSync', 'fdatasync'] as const) {
  test(`a reserve whose ${fault} fails leaves nothing behind`, async t => {
    const folder = newFolder(t)
    const fail = () => {
      throw Object.assign(new Error('no space'), { code: 'ENOSPC' })
    }
    await assert.rejects(createReserveInPieces(folder, { ...nodeIo, [fault]: fail }, reserveBytes), { code: 'ENOSPC' })
    assert.deepEqual(readdirSync(folder), [])
  })
}

test('a journal that ends while it makes a new reserve leaves none, and begins no segment', async t => {
  const folder = newFolder(t)
  let syncing = () => {}
  const reserveIsSyncing = new Promise<void>(resolve => {
    syncing = resolve
  })
  const held = Promise.withResolvers<void>()
  let isFull = false
  let wasFull = false
  const io: SegmentIo = {
    writeSync(...args) {
      if (!isFull) return nodeIo.writeSync(...args)
      throw Object.assign(new Error('no space'), { code: 'ENOSPC' })
    },
    async fdatasync(fd) {
      if (wasFull && statSync(join(folder, 'reserve'), { throwIfNoEntry: false })?.size === reserveBytes) {
        syncing()
        await held.promise
      }
      await nodeIo.fdatasync(fd)
    },
  }
  const writer = new EpochWriter({
    directory: folder,
    gatewayId: 'gw_1',
    epoch: 1,
    log: createLogger('gateway', 'silent'),
    io,
    reserveBytes,
    recoveryIntervalMs: 10,
  })
  assert.equal(writer.state, 'ok')
  isFull = true
  assert.throws(() => writer.write({ type: 3, json: '{}' }), { code: 'ENOSPC' })
  assert.equal(writer.state, 'full')
  isFull = false
  wasFull = true
  await reserveIsSyncing
  const stopped = writer.stop()
  const before = readdirSync(folder).filter(name => name.endsWith('.journal'))
  held.resolve()
  await stopped
  assert.deepEqual(readdirSync(folder).sort(), before.sort())
})
