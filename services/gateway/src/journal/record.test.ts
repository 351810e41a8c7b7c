import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findFrame, frameBound, readFrame, recordType, writeFrame } from './record.ts'

const texts = ['{"a":1}', '{"text":"Grüße, 世界 🙂"}', '{}']

function frames(): Buffer {
  const buffer = Buffer.alloc(texts.reduce((sum, text) => sum + frameBound({ json: text }), 0))
  let at = 0
  for (const text of texts) at += writeFrame(buffer, at, { type: recordType.close, json: text })
  return buffer.subarray(0, at)
}

function readAll(buffer: Buffer): { texts: string[]; end: number; stop: string } {
  const found: string[] = []
  let at = 0
  for (;;) {
    const frame = readFrame(buffer, at)
    if (typeof frame === 'string') return { texts: found, end: at, stop: frame }
    found.push(frame.json.toString())
    at = frame.end
  }
}

test('what is written is read', () => {
  assert.deepEqual(readAll(frames()), { texts, end: frames().length, stop: 'end' })
})

test('a text in pieces is read as one', () => {
  const tail = { bound: 10, write: (buffer: Buffer, at: number) => at + buffer.write(',"d":"ü"}', at) }
  const record = { type: recordType.close, lead: ['{"a":"ä"', ',"b":1'], json: '{"c":"世界"}', tail }
  const buffer = Buffer.alloc(frameBound(record))
  const end = writeFrame(buffer, 0, record)
  assert.deepEqual(readAll(buffer.subarray(0, end)), {
    texts: ['{"a":"ä","b":1,"c":"世界","d":"ü"}'],
    end,
    stop: 'end',
  })
})

test('a file torn at any byte reads as the whole records before it', () => {
  const whole = frames()
  const ends: number[] = []
  for (let at = 0; at < whole.length; ) {
    const frame = readFrame(whole, at)
    assert.ok(typeof frame === 'object')
    ends.push(frame.end)
    at = frame.end
  }
  for (let length = 0; length < whole.length; length++) {
    const expected = ends.filter(end => end <= length)
    const { texts: found, end } = readAll(whole.subarray(0, length))
    assert.deepEqual(found, texts.slice(0, expected.length))
    assert.equal(end, expected.at(-1) ?? 0)
  }
})

test('a changed bit anywhere is noticed, and the records behind it are found', () => {
  const whole = frames()
  const firstEnd = (readFrame(whole, 0) as { end: number }).end
  for (let bit = 0; bit < firstEnd * 8; bit++) {
    const damaged = Buffer.from(whole)
    damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    assert.equal(typeof readFrame(damaged, 0), 'string')
    assert.equal(findFrame(damaged, 1), firstEnd)
  }
})

test('room that was set aside and never written is the end', () => {
  const { texts: found, stop } = readAll(Buffer.concat([frames(), Buffer.alloc(100)]))
  assert.deepEqual([found, stop], [texts, 'end'])
})
