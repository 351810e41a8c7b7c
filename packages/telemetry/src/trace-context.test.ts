import assert from 'node:assert/strict'
import test from 'node:test'
import { formatTraceparent, parseTraceparent } from './trace-context.ts'

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const spanId = '00f067aa0ba902b7'

test('a traceparent is read and written as the standard says', () => {
  for (const [flags, sampled] of [
    ['01', true],
    ['00', false],
    ['03', true],
  ] as const)
    assert.deepEqual(parseTraceparent(`00-${traceId}-${spanId}-${flags}`), { traceId, spanId, sampled })
  assert.equal(formatTraceparent({ traceId, spanId, sampled: true }), `00-${traceId}-${spanId}-01`)
  assert.equal(formatTraceparent({ traceId, spanId, sampled: false }), `00-${traceId}-${spanId}-00`)
})

test('a later version may carry more fields', () => {
  assert.deepEqual(parseTraceparent(`01-${traceId}-${spanId}-01-more`), { traceId, spanId, sampled: true })
})

test('what the standard forbids starts a new trace', () => {
  const wrong = [
    undefined,
    '',
    'x',
    `ff-${traceId}-${spanId}-01`,
    `00-${traceId}-${spanId}-01-more`,
    `00-${'0'.repeat(32)}-${spanId}-01`,
    `00-${traceId}-${'0'.repeat(16)}-01`,
    `00-${traceId.toUpperCase()}-${spanId}-01`,
    `00-${traceId}-${spanId}`,
  ]
  for (const header of wrong) assert.equal(parseTraceparent(header), undefined, header)
})
