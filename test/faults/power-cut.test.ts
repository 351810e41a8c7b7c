import assert from 'node:assert/strict'
import { mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { testFolder } from '@sluice/test-env'
import { cutPower } from './power-cut.ts'

/** A record of an attempt as a journal holds it. */
function frame(atMs: number): Buffer {
  const payload = Buffer.from(`C${JSON.stringify({ event_id: `evt_${atMs}`, at_ms: atMs })}`)
  const head = Buffer.alloc(8)
  head.writeUInt32LE(payload.length)
  return Buffer.concat([head, payload])
}

test('a sync that a power cut finds under way has held up what it would have covered; one of an earlier life has not', t => {
  const folder = testFolder(t, 'cut')
  const journal = join(folder, 'journal')
  mkdirSync(journal)
  const file = join(journal, '1.journal')
  const safe = frame(9_000)
  writeFileSync(file, Buffer.concat([safe, frame(9_980)]))
  const { ino } = statSync(file)
  const told = [
    { startedAtMs: 1_000 },
    { ino, beganAtMs: 2_000 },
    { startedAtMs: 8_000 },
    { names: { '1.journal': ino } },
    { ino, beganAtMs: 9_010 },
    { ino, size: safe.length, beganAtMs: 9_010, tookMs: 3 },
    { ino, beganAtMs: 9_988 },
    { beatMs: 9_999, lateMs: 0 },
  ]
  const syncs = join(folder, 'syncs.ndjson')
  const lines = told.map(line => `${JSON.stringify(line)}\n`)
  // Each life ends in the middle of a line.
  const cutOff = '{"ino":7,"beganAt'
  writeFileSync(syncs, [...lines.slice(0, 2), cutOff, '\n', ...lines.slice(2), cutOff].join(''))
  assert.deepEqual(cutPower(journal, syncs, 10_000), {
    lostBytes: frame(9_980).length,
    oldestLostAtMs: 9_980,
    longestSyncMs: 12,
    stalledMs: 1,
  })
  assert.equal(statSync(file).size, safe.length)
})
