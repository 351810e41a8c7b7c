import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decideAsk } from './decide-ask.ts'
import { emptyHome } from './home-state.ts'
import { type Pool, poolKey } from './pool.ts'

const poolOf = (copy: string): Pool => ({
  ...{ key: poolKey('bud', copy, 0), budgetId: 'bud', copy, windowStartMs: 0, limit: 100 },
  ...{ unleased: 0, settled: 0, unresolved: 0, outstanding: 0 },
})

test('whoever shares the copy of all others is told to ask for that; money ahead of calls is refused to none beside it', () => {
  const state = { ...emptyHome(), pools: new Map(['own', 'late'].map(copy => [poolOf(copy).key, poolOf(copy)])) }
  const decide = (need: number) => {
    const items = ['own', 'late'].map(copy => ({
      ...{ budget_id: 'bud', copy, window_start_ms: 0, want: 10, need, ahead: 0 },
    }))
    const decided = decideAsk(
      state,
      { gateway_id: 'gw', epoch: 1, at_ms: 0, seq: 1, items },
      {
        ...{ nowMs: 0, term: 1, gateways: 1, recalled: false },
        isOpen: ({ copy }) => copy !== 'late',
        isOther: ({ copy }) => copy === 'late',
      },
    )
    assert.notEqual(decided, 'recall')
    return decided === 'recall' ? undefined : decided
  }
  const refused = decide(1)?.answer.refusal
  assert.deepEqual([refused?.reason, refused?.copy], ['other_copy', 'late'])
  const ahead = decide(0)
  assert.deepEqual(
    ahead?.answer.grants.map(({ amount }) => amount),
    [10, 0],
  )
  assert.equal(ahead?.events.filter(({ type }) => type === 'lease-granted').length, 1)
})
