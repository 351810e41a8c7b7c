import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { createLogger } from '@sluice/runtime'
import { EpochWriter } from './epoch-writer.ts'
import { readFrame, recordType } from './record.ts'
import { listSegments, nodeIo, type SegmentIo } from './segment.ts'
import { TurnBatch, type TurnRecord } from './turn-batch.ts'

const log = createLogger('gateway', 'silent')

/** A writer whose n-th next write can be made to fail, and whose syncs can be held up. */
function startWriter(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-turn-'))
  const failing = new Set<number>()
  let writes = 0
  const io: SegmentIo = {
    writeSync(...args) {
      if (failing.delete(writes++)) throw Object.assign(new Error('EIO'), { code: 'EIO' })
      return nodeIo.writeSync(...args)
    },
    fdatasync: fd => nodeIo.fdatasync(fd),
  }
  const writer = new EpochWriter({
    directory,
    gatewayId: 'gw_1',
    epoch: 1,
    log,
    io,
    reserveBytes: 64 * 1024,
    recoveryIntervalMs: 3_600_000,
  })
  t.after(async () => {
    await writer.stop()
    rmSync(directory, { recursive: true, force: true })
  })
  return {
    writer,
    /** The write after `skip` more fails. */
    failAfter: (skip: number) => void failing.add(writes + skip),
    /** What stands in the files: the records of a segment, by its number. */
    read: () =>
      listSegments(directory).map(({ number, path }) => {
        const bytes = readFileSync(path)
        const found: string[] = []
        for (let frame = readFrame(bytes, 0); typeof frame === 'object'; frame = readFrame(bytes, frame.end))
          if (frame.type !== recordType.header) found.push(frame.json.toString())
        return { number, found }
      }),
    exists: (number: number) =>
      listSegments(directory).some(segment => segment.number === number && existsSync(segment.path)),
  }
}

function close(seq: number, written?: TurnRecord['written']): TurnRecord {
  const json = `{"seq":${seq}}`
  return { type: recordType.close, json, numbered: { partition: 0, seq }, ...(written ? { written } : {}) }
}

function open(name: string, more: Partial<TurnRecord> = {}): TurnRecord {
  return { type: recordType.open, json: `{"open":"${name}"}`, ...more }
}

const nextTurn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

test('the records of a turn are in the file, in their order, before anything that waits for one of them is told', async t => {
  const { writer, read } = startWriter(t)
  const batch = new TurnBatch(writer, error => assert.fail(String(error)))
  const told: string[] = []
  const tell = (name: string) => () => {
    assert.equal(read()[0]?.found.length, 3)
    told.push(name)
  }
  batch.add(open('a', { written: tell('a') }))
  batch.add(close(1, tell('1')))
  batch.add(open('b', { written: tell('b') }))
  assert.deepEqual([told, read()[0]?.found], [[], []])
  await nextTurn()
  assert.deepEqual(told, ['a', '1', 'b'])
  assert.deepEqual(read()[0]?.found, ['{"open":"a"}', '{"seq":1}', '{"open":"b"}'])
})

test('what one of them throws keeps nothing from the others', async t => {
  const { writer } = startWriter(t)
  const thrown: unknown[] = []
  const batch = new TurnBatch(writer, error => thrown.push(error))
  const told: number[] = []
  for (const seq of [1, 2, 3])
    batch.add(
      close(seq, () => {
        told.push(seq)
        if (seq === 2) throw new Error('mine')
      }),
    )
  await nextTurn()
  assert.deepEqual([told, thrown.map(String)], [[1, 2, 3], ['Error: mine']])
})

test('a record that is added while others are told is written at once where it must be, and told behind them', async t => {
  const { writer, read } = startWriter(t)
  const batch = new TurnBatch(writer, error => assert.fail(String(error)))
  const told: number[] = []
  batch.add(
    close(1, () => {
      batch.add(close(3, () => told.push(3)))
      batch.flush()
      told.push(1)
    }),
  )
  batch.add(close(2, () => told.push(2)))
  await nextTurn()
  assert.deepEqual(told, [3, 1, 2])
  assert.deepEqual(read()[0]?.found, ['{"seq":1}', '{"seq":2}', '{"seq":3}'])
})

test('where the write of a turn fails each record finds its own place, and says which', async t => {
  const { writer, failAfter, read } = startWriter(t)
  const batch = new TurnBatch(writer, error => assert.fail(String(error)))
  const places: (number | undefined)[] = []
  const settle: TurnRecord['settle'] = (error, segment) => {
    assert.equal(error, undefined)
    places.push(segment?.number)
  }
  const first = writer.segment?.number
  batch.add(open('a', { settle }))
  batch.add(close(1))
  // The write of both fails, then that of the event alone: it goes to the reserve.
  failAfter(0)
  failAfter(2)
  batch.flush()
  assert.equal(writer.state, 'failed')
  assert.deepEqual(places, [first])
  assert.deepEqual(
    read().map(segment => segment.found),
    [['{"open":"a"}'], ['{"seq":1}']],
  )
})

test('an attempt whose OPEN no file takes is told so, and its event is kept all the same', async t => {
  const { writer, failAfter, read } = startWriter(t)
  const batch = new TurnBatch(writer, error => assert.fail(String(error)))
  const errors: unknown[] = []
  batch.add(open('a', { written: error => errors.push(error) }))
  batch.add(close(1, error => errors.push(error)))
  failAfter(0)
  failAfter(1)
  batch.flush()
  assert.deepEqual(
    errors.map(error => (error as NodeJS.ErrnoException | undefined)?.code),
    ['EIO', undefined],
  )
  assert.deepEqual(
    read().flatMap(segment => segment.found),
    ['{"seq":1}'],
  )
})

test('no segment is deleted while an event is in memory alone', async t => {
  const { writer, failAfter, exists } = startWriter(t)
  const batch = new TurnBatch(writer, error => assert.fail(String(error)))
  batch.add(open('a'))
  batch.flush()
  await writer.secured()
  // Neither the segment nor the reserve takes it.
  for (const skip of [0, 1, 2, 3, 4, 5, 6]) failAfter(skip)
  batch.add(close(1))
  batch.flush()
  assert.ok(writer.hasHomeless)
  writer.deletePosted(() => 100)
  assert.ok(exists(1))
})
