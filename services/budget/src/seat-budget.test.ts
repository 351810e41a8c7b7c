import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CountedBudget } from './budget.ts'
import { compareSeats, type SeatBudgetOfTeam, seatBudgetsOf } from './seat-budget.ts'

const seat: SeatBudgetOfTeam = {
  teamId: 'team_a',
  name: 'Seats of A',
  limit: 100,
  window: 'day',
  timeZone: 'UTC',
  mode: 'soft',
}
const budget: CountedBudget = {
  budget_id: 'bud_1',
  version: 3,
  name: 'Seats of A',
  account_id: 'acct_1',
  scope: { team: 'team_a' },
  per: 'member',
  unit: 'usd',
  // A raise stands.
  limit: 150,
  ownLimit: 100,
  window: 'day',
  time_zone: 'UTC',
  mode: 'soft',
  on_unknown: 'deny',
  created_at_ms: 0,
  thresholds: [],
  forecastAlert: false,
  projectId: '00000000-0000-4000-8000-000000000001',
  countsFromMs: 0,
  seatTeamId: 'team_a',
}
const counts = (wanted: SeatBudgetOfTeam[], present: CountedBudget[]) => {
  const { made, changed, ended } = compareSeats(wanted, present)
  return [made.length, changed.length, ended.length]
}

test('teams that say what seats get have a budget for it, soft and in UTC unless they say otherwise', () => {
  const teams = [
    { team_id: 'team_a', name: 'A', seat_budget: { amount_nano_usd: 100, window: 'day' as const } },
    { team_id: 'team_b', name: 'B' },
    {
      team_id: 'team_c',
      name: `${'c'.repeat(118)}🙂`,
      seat_budget: { amount_nano_usd: 0, window: 'month' as const, time_zone: 'Europe/Berlin' },
    },
  ]
  const [a, c, ...more] = seatBudgetsOf({ teams })
  assert.deepEqual([a, more], [seat, []])
  // Nothing for anybody: the first call is refused already.
  assert.deepEqual([c?.limit, c?.mode, c?.timeZone], [0, 'hard', 'Europe/Berlin'])
  assert.equal(c?.name, `Seats of ${'c'.repeat(118)}`)
})

test('a seat budget is changed where it may be, and another one where it may not; a raise is none', () => {
  assert.deepEqual(counts([seat], [budget]), [0, 0, 0])
  assert.deepEqual(counts([seat], []), [1, 0, 0])
  assert.deepEqual(counts([], [budget]), [0, 0, 1])
  for (const change of [{ name: 'Seats of B' }, { limit: 99 }, { mode: 'hard' as const }])
    assert.deepEqual(counts([{ ...seat, ...change }], [budget]), [0, 1, 0], JSON.stringify(change))
  for (const change of [{ window: 'week' as const }, { timeZone: 'Europe/Berlin' }])
    assert.deepEqual(counts([{ ...seat, ...change }], [budget]), [1, 0, 1], JSON.stringify(change))
})
