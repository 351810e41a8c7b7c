import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Budget, LeaseAnswer } from '@sluice/contracts'
import { createWindowFinder, type OpenAsk, WaitingLine, Wallet } from '@sluice/leases'
import { BatchBound, type ModelSum } from '../bounds/batch-bound.ts'
import type { AdmittedCall } from '../call.ts'
import type { LeaseDeps } from '../leases/take-money.ts'
import { TokenLengths } from '../leases/token-lengths.ts'
import { UnknownAllowance } from '../leases/unknown-allowance.ts'
import { Refusal } from '../refusal.ts'
import { payForBatch } from './pay-for-batch.ts'

const matched = (id: string, hold: Budget['hold']) => {
  const budget = { budget_id: id, name: id, unit: 'usd', window: 'total', time_zone: 'UTC', hold, on_unknown: 'deny' }
  return { budget: { ...budget, scope: {} } as unknown as Budget, copy: '' }
}

/**
 * Pays for a batch of requests for model "s" and model "t" out of two budgets: one counts both, one counts "s" alone. Homes grant up
 * to 1,000,000 of the first, and up to 1,000 of the second.
 */
async function pay(sums: readonly Omit<ModelSum, 'tokens' | 'requests'>[], hold: Budget['hold'] = 'exact') {
  const limits: Record<string, number> = { both: 1_000_000, one: 1_000 }
  const wallet = new Wallet({ gatewayId: 'gw_a', epoch: 1 })
  const asked: Record<string, number> = {}
  const send = ({ message }: OpenAsk): void => {
    const { seq, items } = message
    for (const item of items) asked[item.budget_id] = item.need
    const short = items.find(item => item.need > (limits[item.budget_id] ?? 0))
    const limit = short && (limits[short.budget_id] ?? 0)
    const answer = {
      seq,
      term: 1,
      grants: short ? [] : items.map((item, at) => ({ lease_id: String(at), amount: item.need, left: 0 })),
      ...(short && { refusal: { ...short, reason: 'spent', limit, spent: 0, held: 0, retry_after_ms: 0 } }),
    } as unknown as LeaseAnswer
    queueMicrotask(() => {
      wallet.answer(answer, Date.now())
      line.answered(answer, Date.now())
    })
  }
  const line = new WaitingLine(wallet, { send })
  const client = { wallet, line, send } as unknown as LeaseDeps['client']
  const leases: LeaseDeps = {
    client,
    copies: { noteOther: () => {}, findWindow: () => undefined },
    findWindow: createWindowFinder(),
    allowance: new UnknownAllowance(),
    tokenLengths: new TokenLengths(),
    countText: () => 0,
  }
  const hard = [matched('both', hold), matched('one', hold)]
  const modelsOf = (each: { budget: Budget }) => (each.budget.budget_id === 'one' ? ['s'] : undefined)
  const admitted = { eventId: '0190', hold: { budgets: hard, hard, modelsOf } } as unknown as AdmittedCall
  const bound = new BatchBound(sums.map(sum => ({ tokens: 1, requests: 1, ...sum })))
  const call = { response: { destroyed: false } } as Parameters<typeof payForBatch>[1]
  const paid = await payForBatch(
    { leases },
    call,
    admitted,
    () => bound,
    () => admitted,
  )
  return { asked, paid }
}

const refused = (text: RegExp) => (error: unknown) => error instanceof Refusal && text.test(error.message)

test('a budget for one model holds what its requests of a batch can cost, not what the others can', async () => {
  const { asked, paid } = await pay([
    { model: 's', nanoUsd: 500, unboundedBy: undefined },
    { model: 't', nanoUsd: 500_000, unboundedBy: undefined },
  ])
  assert.deepEqual(asked, { both: 500_500, one: 500 })
  assert.deepEqual([paid.money?.heldOf(0), paid.money?.heldOf(1)], [500_500, 500])
  paid.money?.release()
  await assert.rejects(
    pay([{ model: 's', nanoUsd: 1_001, unboundedBy: undefined }]),
    refused(/"one" has too little left/),
  )
})

test('no hard budget pays for a batch of which something that it counts has no bound', async () => {
  for (const hold of ['exact', 'paced'] as const) {
    const bounded = { model: 's', nanoUsd: 500, unboundedBy: undefined }
    const other = { model: 't', nanoUsd: 500, unboundedBy: 'a tool' }
    await assert.rejects(pay([bounded, other], hold), error => {
      assert.ok(refused(/^Budget "both" is hard.*: a tool\./)(error))
      const { reason, budget } = error as Refusal
      assert.deepEqual([reason, budget?.budget_id, budget?.window], ['budget_not_bounded', 'both', 'total'])
      return true
    })
    await assert.rejects(pay([{ ...other, model: undefined }], hold), refused(/: a tool\./))
  }
})
