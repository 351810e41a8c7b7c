import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Budget, LeaseAnswer } from '@sluice/contracts'
import { createWindowFinder, type OpenAsk, WaitingLine, Wallet } from '@sluice/leases'
import { BatchBound } from '../bounds/batch-bound.ts'
import type { CallBound } from '../bounds/call-bound.ts'
import type { LeaseDeps } from '../leases/take-money.ts'
import { TokenLengths } from '../leases/token-lengths.ts'
import { UnknownAllowance } from '../leases/unknown-allowance.ts'
import type { Refusal } from '../refusal.ts'
import { NextTurn } from './next-turn.ts'

const budget = {
  budget_id: 'bud_1',
  name: 'turns',
  scope: { project: 'p' },
  unit: 'usd',
  window: 'minute',
  time_zone: 'UTC',
  hold: 'exact',
  on_unknown: 'deny',
} as unknown as Budget
const hard = [{ budget, copy: '' }]
const sum = { model: undefined, nanoUsd: 100, tokens: 0, requests: 0, unboundedBy: undefined }
const bound = new BatchBound([sum]).within()

/** A session's next turn, over a home that grants as much as `left` says at each time. */
function begin(t: TestContext, left: { amount: number; bound?: CallBound }, window = 'minute') {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 120_000 })
  const wallet = new Wallet({ gatewayId: 'gw_a', epoch: 1 })
  const send = ({ message }: OpenAsk): void => {
    const want = message.items[0]?.want ?? 0
    const about = { reason: 'spent', limit: 1_000, spent: 0, held: 0, retry_after_ms: 0 } as const
    const answer: LeaseAnswer = {
      seq: message.seq,
      term: 1,
      grants: want <= left.amount ? [{ lease_id: 'l', amount: want, left: 0 }] : [],
      ...(want > left.amount && {
        refusal: { ...about, budget_id: 'bud_1', copy: '', window_start_ms: 0, need: want },
      }),
    }
    queueMicrotask(() => {
      wallet.answer(answer, Date.now())
      line.answered(answer, Date.now())
    })
  }
  const line = new WaitingLine(wallet, { send })
  const client = { wallet, line, send } as unknown as LeaseDeps['client']
  const told: (Refusal | undefined)[] = []
  const next = new NextTurn({
    leases: {
      client,
      copies: { noteOther: () => {}, findWindow: () => undefined },
      findWindow: createWindowFinder(),
      allowance: new UnknownAllowance(),
      tokenLengths: new TokenLengths(),
      countText: () => 0,
    },
    expect: () => ({ hard: [{ budget: { ...budget, window } as Budget, copy: '' }], bound: left.bound ?? bound }),
    onMoney: refusal => told.push(refusal),
  })
  const held = () => [...wallet.describe()].map(each => [each.pool.windowStartMs, each.held])
  return { next, told, held }
}

test('the money of a turn is held before it begins, and held again in the next window', async t => {
  const { next, held } = begin(t, { amount: 1_000 })
  next.hold()
  await next.holding
  assert.deepEqual(held(), [[120_000, 100]])
  t.mock.timers.tick(60_000)
  await next.holding
  assert.deepEqual(held(), [
    [120_000, 0],
    [180_000, 100],
  ])
  const taken = next.takeNow({ hard, bound })
  assert.equal(taken?.money.windowEndMs, 240_000)
  assert.equal(next.takeNow({ hard, bound }), undefined, 'it pays for one')
  next.close()
})

test('money is held again in a window that ends later than any timer goes', async t => {
  const { next, held } = begin(t, { amount: 1_000 }, 'month')
  next.hold()
  await next.holding
  const dayMs = 86_400_000
  for (let day = 0; day < 31; day++) t.mock.timers.tick(dayMs)
  await next.holding
  assert.deepEqual(held(), [
    [0, 0],
    [31 * dayMs, 100],
  ])
  next.close()
})

test('what was held before prices rose pays for no turn behind it, and is held anew', async t => {
  const left: { amount: number; bound?: CallBound } = { amount: 1_000 }
  const { next, held } = begin(t, left)
  const dearer = new BatchBound([{ ...sum, nanoUsd: 250 }]).within()
  next.hold()
  await next.holding
  assert.equal(next.takeNow({ hard, bound: dearer }), undefined)
  assert.deepEqual(held(), [[120_000, 0]])
  next.hold()
  await next.holding
  left.bound = dearer
  next.hold()
  await next.holding
  assert.deepEqual(held(), [[120_000, 250]])
  // Prices that fall leave it as it is.
  left.bound = bound
  next.hold()
  assert.equal(next.holding, undefined)
  assert.deepEqual(held(), [[120_000, 250]])
  assert.ok(next.takeNow({ hard, bound }))
  next.close()
})

test('money that is not there is asked for again, and what has come is told; other budgets are not paid by it', async t => {
  const left = { amount: 0 }
  const { next, told } = begin(t, left)
  next.hold()
  await next.holding
  assert.equal(told[0]?.reason, 'budget_spent')
  assert.equal(next.refusal, told[0])
  left.amount = 1_000
  t.mock.timers.tick(5_000)
  await next.holding
  assert.deepEqual(told.slice(1), [undefined])
  const others = [...hard, { budget: { ...budget, budget_id: 'bud_2' }, copy: '' }]
  assert.equal(next.take({ hard: others, bound }), undefined)
  next.close()
})
