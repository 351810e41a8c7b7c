import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readAnnotations, readCursor, readSpan, writeCursor } from './query-parameters.ts'

test('times are ISO 8601, and UTC where they name no zone', () => {
  const noon = Date.UTC(2026, 0, 31, 12)
  for (const start of [
    '2026-01-31T12:00:00Z',
    '2026-01-31T12:00',
    '2026-01-31 12:00:00.000',
    '2026-01-31T14:00:00+02:00',
    '2026-01-31T14:00:00 02:00',
    '2026-01-31T12:00:00.000000Z',
  ])
    assert.deepEqual(readSpan({ start }), { startMs: noon }, start)
  assert.deepEqual(readSpan({ end: '2026-01-31' }), { endMs: Date.UTC(2026, 0, 31) })
  for (const start of ['yesterday', '1', '2026-13-01', '', "2026-01-01' or 1"])
    assert.throws(() => readSpan({ start }), { code: 'invalid_time' }, start)
  assert.throws(() => readSpan({ start: '2026-02-01', end: '2026-01-01' }), { code: 'invalid_time' })
})

test('a cursor comes back as the position it names, and nothing else is one', () => {
  const position = { admittedAtMs: 1_700_000_000_123, eventId: '00000000-0000-7000-8000-000000000001' }
  assert.deepEqual(readCursor(writeCursor(position)), position)
  for (const cursor of ['', 'abc', Buffer.from('1.2').toString('base64url')])
    assert.throws(() => readCursor(cursor), { code: 'invalid_cursor' })
})

test('annotations are an object of texts', () => {
  assert.deepEqual(readAnnotations('{"a":"b"}'), { a: 'b' })
  for (const text of ['', '[]', '{"a":1}', 'null', '"a"'])
    assert.throws(() => readAnnotations(text), { code: 'invalid_annotations' })
})
