import assert from 'node:assert/strict'
import { test } from 'node:test'
import { jsonOf } from '../../test/journal-env.ts'
import { closeLine, closePrefix, placeOfLine } from './close-line.ts'

test('a line is the event, and its place is read without parsing it', () => {
  const prefix = closePrefix('gw_1', 12)
  const json = jsonOf(closeLine(prefix, 7, 1_234, { json: JSON.stringify({ event_id: 'x', 'a,"seq":9': 'y' }) }))
  assert.deepEqual(JSON.parse(json), {
    gateway_id: 'gw_1',
    epoch: 12,
    partition: 7,
    seq: 1_234,
    event_id: 'x',
    'a,"seq":9': 'y',
  })
  assert.deepEqual(placeOfLine(Buffer.from(json), Buffer.byteLength(prefix)), { partition: 7, seq: 1_234 })
})
