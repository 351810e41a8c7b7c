import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Stop } from '@sluice/contracts'
import { refusalOfStop } from './hold-budget.ts'
import { budgetUnavailable } from './leases/take-money.ts'
import { Refusal, type RefusalBudget } from './refusal.ts'
import { refusedCall } from './refused-call.ts'

const stop = { stop_id: 'stop_1', account_id: 'acct', scope: { project: 'p' }, reason: 'It runs wild.', at_ms: 1 }

const budget: RefusalBudget = {
  ...{ budget_id: 'bud_1', name: 'Team', copy: '', scope: { project: 'p' }, unit: 'usd', window: 'day' },
  ...{ limit: 10, spent: 3, resets_at_ms: undefined },
}

function toldOf(refusal: Refusal): string | undefined {
  const caller = { identity: undefined, claimed: {}, requestedModel: undefined }
  return refusedCall('gw', 'call', refusal, 400, { ...caller, dialect: 'openai', endpoint: 'chat' }).message
}

test('a refused call tells the words of whatever limit said no, and never those that may quote what was sent', () => {
  const isUsedUp: Stop = { ...stop, kind: 'balance_exhausted' }
  assert.match(toldOf(refusalOfStop(isUsedUp)) ?? '', /prepaid balance of this project is used up/)
  assert.match(toldOf(refusalOfStop(stop)) ?? '', /"It runs wild\."/)
  assert.match(toldOf(budgetUnavailable(budget)) ?? '', /"Team" has left cannot be asked right now/)
  assert.equal(toldOf(new Refusal('path_not_supported', 'There is no path "/v1/secret".')), undefined)
  assert.equal(toldOf(new Refusal('budget_not_bounded', 'File "my-plan" is too old.')), undefined)
})
