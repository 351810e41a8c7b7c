import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Budget } from '@sluice/contracts'
import { createWindowFinder } from '@sluice/leases'
import { nextWindowOf } from './next-window.ts'

const dayMs = 86_400_000

test('money ahead of a window is asked for copies that are there in any: not for values that callers choose', () => {
  const budgets: Record<string, Partial<Budget>> = {
    member: { per: 'member' },
    session: { per: 'session' },
    ticket: { per: 'tag:ticket' },
    soft: { mode: 'soft' },
  }
  const nextOf = nextWindowOf(
    id => ({ window: 'day', time_zone: 'UTC', mode: 'hard', ...budgets[id] }) as Budget,
    createWindowFinder(),
  )
  const next = (budgetId: string, copy: string) =>
    nextOf({ budgetId, copy, windowStartMs: 0, windowEndMs: dayMs, home: 0, isConcurrent: false })?.windowStartMs
  assert.deepEqual(
    [next('member', 'm'), next('session', 's'), next('ticket', 'T-1'), next('soft', '')],
    [dayMs, undefined, undefined, undefined],
  )
  assert.deepEqual([next('session', 'unknown'), next('session', 'other')], [dayMs, dayMs])
})
