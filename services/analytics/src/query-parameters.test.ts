import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readAnnotations, readSpan } from './query-parameters.ts'

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

test('annotations are an object of texts', () => {
  assert.deepEqual(readAnnotations('{"a":"b"}'), { a: 'b' })
  for (const text of ['', '[]', '{"a":1}', 'null', '"a"'])
    assert.throws(() => readAnnotations(text), { code: 'invalid_annotations' })
})
