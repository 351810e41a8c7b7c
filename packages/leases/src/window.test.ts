import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sized } from '@sluice/test-env/test-size'
import fc from 'fast-check'
import { createWindowFinder, type WindowKind, windowAt } from './window.ts'

const iso = (ms: number | undefined) => (ms === undefined ? undefined : new Date(ms).toISOString())
const at = (kind: WindowKind, zone: string, time: string) => {
  const { startMs, endMs } = windowAt(kind, zone, Date.parse(time))
  return [iso(startMs), iso(endMs)]
}

test('windows follow the calendar of the budget, weeks from Monday', () => {
  const time = '2026-05-13T10:17:42.123Z' // a Wednesday
  assert.deepEqual(at('minute', 'UTC', time), ['2026-05-13T10:17:00.000Z', '2026-05-13T10:18:00.000Z'])
  assert.deepEqual(at('hour', 'Asia/Kolkata', time), ['2026-05-13T09:30:00.000Z', '2026-05-13T10:30:00.000Z'])
  assert.deepEqual(at('day', 'Asia/Tokyo', time), ['2026-05-12T15:00:00.000Z', '2026-05-13T15:00:00.000Z'])
  assert.deepEqual(at('week', 'UTC', time), ['2026-05-11T00:00:00.000Z', '2026-05-18T00:00:00.000Z'])
  assert.deepEqual(at('week', 'UTC', '2026-05-17T23:59:59.999Z'), [
    '2026-05-11T00:00:00.000Z',
    '2026-05-18T00:00:00.000Z',
  ])
  assert.deepEqual(at('month', 'UTC', '2028-02-29T12:00:00Z'), ['2028-02-01T00:00:00.000Z', '2028-03-01T00:00:00.000Z'])
  assert.deepEqual(at('quarter', 'UTC', time), ['2026-04-01T00:00:00.000Z', '2026-07-01T00:00:00.000Z'])
  assert.deepEqual(at('total', 'UTC', time), ['1970-01-01T00:00:00.000Z', undefined])
})

test('a day has 23 or 25 hours where clocks change, a month one hour less or more', () => {
  assert.deepEqual(at('day', 'Europe/Berlin', '2026-03-29T12:00:00Z'), [
    '2026-03-28T23:00:00.000Z',
    '2026-03-29T22:00:00.000Z',
  ])
  assert.deepEqual(at('day', 'Europe/Berlin', '2026-10-25T12:00:00Z'), [
    '2026-10-24T22:00:00.000Z',
    '2026-10-25T23:00:00.000Z',
  ])
  assert.deepEqual(at('month', 'America/New_York', '2026-03-20T00:00:00Z'), [
    '2026-03-01T05:00:00.000Z',
    '2026-04-01T04:00:00.000Z',
  ])
})

test('the hour that comes twice is two windows', () => {
  assert.deepEqual(at('hour', 'Europe/Berlin', '2026-10-25T00:30:00Z'), [
    '2026-10-25T00:00:00.000Z',
    '2026-10-25T01:00:00.000Z',
  ])
  assert.deepEqual(at('hour', 'Europe/Berlin', '2026-10-25T01:30:00Z'), [
    '2026-10-25T01:00:00.000Z',
    '2026-10-25T02:00:00.000Z',
  ])
})

test('a day begins once: where midnight is skipped, where it comes twice, where a whole day is left out', () => {
  // Cairo goes from 00:00 to 01:00.
  assert.deepEqual(at('day', 'Africa/Cairo', '2026-04-24T10:00:00Z'), [
    '2026-04-23T22:00:00.000Z',
    '2026-04-24T21:00:00.000Z',
  ])
  // Havana goes back from 01:00 to 00:00.
  assert.deepEqual(at('day', 'America/Havana', '2025-11-02T18:00:00Z'), [
    '2025-11-02T04:00:00.000Z',
    '2025-11-03T05:00:00.000Z',
  ])
  // Apia had no 30 December 2011.
  assert.deepEqual(at('day', 'Pacific/Apia', '2011-12-30T09:00:00Z'), [
    '2011-12-29T10:00:00.000Z',
    '2011-12-30T10:00:00.000Z',
  ])
})

const kinds = ['minute', 'hour', 'day', 'week', 'month', 'quarter'] as const
const zones = [
  'UTC',
  'Europe/Berlin',
  'America/New_York',
  'America/Havana',
  'America/Sao_Paulo',
  'Africa/Cairo',
  'Africa/Casablanca',
  'Asia/Kathmandu',
  'Asia/Beirut',
  'Australia/Lord_Howe',
  'Pacific/Apia',
  'Pacific/Chatham',
]
const instants = fc.integer({ min: Date.parse('2005-01-01T00:00:00Z'), max: Date.parse('2037-01-01T00:00:00Z') })
// Most instants are far from a change of clocks: half of the cases are drawn close to one.
const changes = zones.flatMap(zone => {
  const found: { zone: string; atMs: number }[] = []
  const day = 24 * 3_600_000
  const length = (ms: number) => {
    const { startMs, endMs = 0 } = windowAt('day', zone, ms)
    return endMs - startMs
  }
  for (let ms = Date.parse('2018-01-01T12:00:00Z'); ms < Date.parse('2020-01-01T00:00:00Z'); ms += day)
    if (length(ms) !== day) found.push({ zone, atMs: ms })
  return found
})
const moments = fc.oneof(
  fc.record({ zone: fc.constantFrom(...zones), atMs: instants }),
  fc
    .tuple(fc.constantFrom(...changes), fc.integer({ min: -36 * 3_600_000, max: 36 * 3_600_000 }))
    .map(([{ zone, atMs }, shift]) => ({ zone, atMs: atMs + shift })),
)

test('every instant is in exactly one window: its own holds it, and both neighbours touch it', () => {
  assert.ok(changes.length > 20)
  fc.assert(
    fc.property(fc.constantFrom(...kinds), moments, (kind, { zone, atMs }) => {
      const { startMs, endMs = Number.NaN } = windowAt(kind, zone, atMs)
      assert.ok(startMs <= atMs && atMs < endMs)
      assert.deepEqual(windowAt(kind, zone, startMs), { startMs, endMs })
      assert.deepEqual(windowAt(kind, zone, endMs - 1), { startMs, endMs })
      assert.equal(windowAt(kind, zone, endMs).startMs, endMs)
      assert.equal(windowAt(kind, zone, startMs - 1).endMs, startMs)
    }),
    { numRuns: sized({ small: 150, full: 600 }) },
  )
})

test('a window that is remembered is the one that is computed', () => {
  const find = createWindowFinder()
  fc.assert(
    fc.property(fc.constantFrom(...kinds, 'total' as const), moments, (kind, { zone, atMs }) => {
      assert.deepEqual(find(kind, zone, atMs), windowAt(kind, zone, atMs))
    }),
    { numRuns: 100 },
  )
})
