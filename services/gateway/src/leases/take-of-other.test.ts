import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Budget, LeaseAnswer } from '@sluice/contracts'
import { createWindowFinder, type OpenAsk, WaitingLine, Wallet } from '@sluice/leases'
import { joinHolds } from '../batches/admit-requests.ts'
import type { CallBound } from '../bounds/call-bound.ts'
import type { MatchedBudget } from '../budget-index.ts'
import { BudgetState, type Hold, nothingHeld, unusedWindow } from '../met-budgets.ts'
import { holdOfPaid } from '../paid-hold.ts'
import { type LeaseDeps, takeMoney } from './take-money.ts'
import { TokenLengths } from './token-lengths.ts'
import { UnknownAllowance } from './unknown-allowance.ts'

const budget = {
  ...{ budget_id: 'each', name: 'each', unit: 'requests', window: 'day', time_zone: 'UTC', scope: {} },
  ...{ mode: 'hard', per: 'model', hold: 'exact', on_unknown: 'deny' },
} as unknown as Budget
const met = (copy: string): MatchedBudget => ({ budget, copy, said: { values: [copy], atMs: 0 } })
const boundOf = (requests: number) =>
  ({ outputTokens: 0, leastOutputTokens: 0, amount: () => requests, outputWithin: () => 0 }) as unknown as CallBound

/** A home that tells `named` apart and has as much of each copy as is asked for. */
function leasesOf(named: readonly string[]) {
  const wallet = new Wallet({ gatewayId: 'gw_a', epoch: 1 })
  const asked: string[][] = []
  const send = ({ message: { seq, items } }: OpenAsk): void => {
    asked.push(items.map(({ copy }) => copy))
    const unnamed = items.find(({ copy }) => copy !== 'other' && !named.includes(copy))
    const answer = {
      ...{ seq, term: 1 },
      grants: unnamed ? [] : items.map(({ need }, at) => ({ lease_id: String(at), amount: need, left: 9, held: 0 })),
      ...(unnamed && {
        refusal: { ...unnamed, reason: 'other_copy', limit: 0, spent: 0, held: 0, retry_after_ms: 0 },
      }),
    } as unknown as LeaseAnswer
    queueMicrotask(() => {
      wallet.answer(answer, Date.now())
      line.answered(answer, Date.now())
    })
  }
  const line = new WaitingLine(wallet, { send })
  const state = new BudgetState()
  const leases: LeaseDeps = {
    client: { wallet, line, send } as unknown as LeaseDeps['client'],
    copies: {
      noteOther: (_budgetId, value, endMs, nowMs) => state.noteOther(value, endMs, nowMs),
      findWindow: () => undefined,
    },
    findWindow: createWindowFinder(),
    allowance: new UnknownAllowance(),
    tokenLengths: new TokenLengths(),
    countText: () => 0,
  }
  return { leases, asked, state }
}

test('a value that has no copy of its own is paid for out of the one of all others, and the next call asks for that at once', async () => {
  const { leases, asked, state } = leasesOf(['known'])
  const take = (attemptId: string, copy: string) =>
    takeMoney(leases, { attemptId, budgets: [met(copy)], bound: boundOf(1), isVisible: false }, Date.now())
  const copiesOf = async (taken: ReturnType<typeof take>) => (await taken).money.budgets.map(({ copy }) => copy)
  assert.deepEqual(await copiesOf(take('a', 'new')), ['other'])
  assert.deepEqual(asked, [['new'], ['other']])
  assert.equal(state.copyOf('new', Date.now()), 'other')
  assert.deepEqual(await copiesOf(take('b', 'known')), ['known'])
})

test('models of a batch that share a copy are held together, each once, beside those that have one of their own', async () => {
  const { leases } = leasesOf(['known'])
  const models = ['known', 'new', 'newer']
  const holdOf = (copy: string): Hold => ({
    ...nothingHeld,
    budgets: [met(copy)],
    windows: [unusedWindow(budget, copy, 0)],
    hard: [met(copy)],
  })
  const hold = joinHolds(models.map(holdOf), models)
  const requests: Record<string, number> = { known: 1, new: 10, newer: 100 }
  const within = (counted: readonly string[] = models) =>
    boundOf(counted.reduce((sum, model) => sum + (requests[model] ?? 0), 0))
  const paying = {
    ...{ attemptId: 'batch', budgets: hold.hard, bound: within(), isVisible: false },
    boundFor: (matched: MatchedBudget) => within(hold.modelsOf?.(matched)),
  }
  const { money } = await takeMoney(leases, paying, Date.now())
  assert.deepEqual(
    money.budgets.map(({ copy }, at) => [copy, money.heldOf(at)]),
    [
      ['known', 1],
      ['other', 110],
    ],
  )
  // Known at its creation is what was paid for, whatever is known of its models by then.
  assert.deepEqual(
    money.budgets.map(matched => hold.modelsOf?.(matched)),
    [['known'], ['new', 'newer']],
  )
  const paid = holdOfPaid(joinHolds(models.map(holdOf), models), money.budgets, ({ budget: each, copy }) =>
    unusedWindow(each, copy, 0),
  )
  assert.deepEqual([paid.budgets.map(({ copy }) => copy), paid.hard.length], [['known', 'other'], 2])
})
