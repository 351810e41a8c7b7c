import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { forecastOf } from './forecast.ts'

const hour = 3_600_000
const day = { startMs: 0, endMs: 24 * hour }

test('at the pace of a window’s first half, twice as much is spent at its end', () => {
  assert.deepEqual(forecastOf({ spent: 8n, limit: 10n }, day, 12 * hour), { projected: 16n, exhaustedAtMs: 15 * hour })
  assert.deepEqual(forecastOf({ spent: 4n, limit: 10n }, day, 12 * hour), { projected: 8n, exhaustedAtMs: undefined })
  assert.deepEqual(forecastOf({ spent: 12n, limit: 10n }, day, 12 * hour), { projected: 24n, exhaustedAtMs: undefined })
})

test('the first tenth of a window, one without an end, one that is over and one without spend say nothing', () => {
  for (const [spent, window, nowMs] of [
    [9n, day, 2 * hour],
    [9n, { startMs: 0, endMs: undefined }, 12 * hour],
    [9n, day, 24 * hour],
    [9n, day, -1],
    [0n, day, 12 * hour],
    [9n, { startMs: 0, endMs: hour / 10 }, 60_000],
  ] as const)
    assert.equal(forecastOf({ spent, limit: 10n }, window, nowMs), undefined)
})

test('money that is to run out does so after now and before the end, and only where more than the limit is projected', () => {
  const amount = fc.bigInt({ min: 1n, max: 10n ** 15n })
  fc.assert(
    fc.property(amount, amount, fc.integer({ min: 3 * hour, max: 24 * hour - 1 }), (spent, limit, nowMs) => {
      const forecast = forecastOf({ spent, limit }, day, nowMs)
      assert.ok(forecast)
      const { projected, exhaustedAtMs } = forecast
      assert.ok(projected >= spent)
      if (exhaustedAtMs === undefined) assert.ok(spent >= limit || projected <= limit)
      else assert.ok(exhaustedAtMs >= nowMs && exhaustedAtMs < day.endMs && projected >= limit)
    }),
  )
})
