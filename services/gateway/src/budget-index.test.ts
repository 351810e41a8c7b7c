import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Budget, BudgetScope, CallIdentity } from '@sluice/contracts'
import { BudgetIndex } from './budget-index.ts'

const identity: CallIdentity = {
  account_id: 'acct_1',
  project_id: 'p1',
  team_id: 'team_1',
  member_id: 'mem_1',
  key_id: 'k1',
  room: 'lobby',
  credential_kind: 'key',
}

function budget(id: string, scope: BudgetScope, more: Partial<Budget> = {}): Budget {
  return {
    budget_id: id,
    version: 1,
    name: id,
    account_id: 'acct_1',
    scope,
    unit: 'usd',
    limit: 1,
    window: 'day',
    time_zone: 'UTC',
    mode: 'soft',
    on_unknown: 'deny',
    created_at_ms: 0,
    ...more,
  }
}

const claimed = { app: 'codex', agent_id: 'reviewer', tags: { ticket: 'a=b' } }

function matched(...budgets: Budget[]): string[] {
  const index = new BudgetIndex()
  for (const one of budgets) index.put(one)
  return index
    .match(identity, 'openai', 'gpt-5.4', claimed)
    .map(({ budget: { budget_id }, copy }) => (copy ? `${budget_id}/${copy}` : budget_id))
}

test('a call meets every budget whose scope it is in, and no other', () => {
  const inScope: BudgetScope[] = [
    { account: 'acct_1' },
    { project: 'p1' },
    { project: 'p1', team: 'team_1' },
    { project: 'p1', member: 'mem_1' },
    { project: 'p1', room: 'lobby' },
    { project: 'p1', key: 'k1' },
    { project: 'p1', key: 'k1', team: 'team_1', model: 'gpt-5.4', provider: 'openai' },
    { project: 'p1', app: 'codex', agent: 'reviewer' },
    { project: 'p1', member: 'mem_1', session: 'unknown', tag: 'ticket=a=b' },
  ]
  const outOfScope: BudgetScope[] = [
    {},
    { project: 'p2' },
    { project: 'p2', key: 'k1' },
    { project: 'p1', team: 'team_2' },
    { project: 'p1', team: 'team_1', room: 'attic' },
    { project: 'p1', participant: 'robin' },
    { project: 'p1', model: 'gpt-5.4-mini' },
    { project: 'p1', provider: 'anthropic' },
    { project: 'p1', app: 'cursor' },
    { project: 'p1', app: 'codex', session: 's1' },
    { project: 'p1', tag: 'ticket=a' },
    { project: 'p1', tag: 'other=a=b' },
    { app: 'codex' },
  ]
  const names = matched(
    ...inScope.map((scope, i) => budget(`in${i}`, scope)),
    ...outOfScope.map((scope, i) => budget(`out${i}`, scope)),
  )
  assert.deepEqual(
    names.sort(),
    inScope.map((_, i) => `in${i}`),
  )
})

test('a budget per member, or per project, has a copy for each, and none for a call without it', () => {
  assert.deepEqual(
    matched(
      budget('seat', { project: 'p1' }, { per: 'member' }),
      budget('none', { project: 'p1' }, { per: 'participant' }),
      budget('each', { account: 'acct_1' }, { per: 'project' }),
    ),
    ['seat/mem_1', 'each/p1'],
  )
})

test('whoever is excepted from a budget per member does not meet it, and everybody else does', () => {
  const seats = (except: string[]) => budget('seats', { project: 'p1', team: 'team_1' }, { per: 'member', except })
  assert.deepEqual(matched(seats(['mem_1', 'mem_2'])), [])
  assert.deepEqual(matched(seats(['mem_2'])), ['seats/mem_1'])
})

test('a changed budget is found by its new scope only, a removed one not at all', () => {
  const index = new BudgetIndex()
  index.put(budget('b', { project: 'p1', key: 'k1' }))
  index.put(budget('b', { project: 'p1', key: 'k2' }))
  assert.deepEqual(index.match(identity, 'openai', 'm', claimed), [])
  index.put(budget('b', { project: 'p1' }))
  assert.equal(index.match(identity, 'openai', 'm', claimed).length, 1)
  index.remove('b')
  assert.deepEqual(index.match(identity, 'openai', 'm', claimed), [])
})

test('files are bounded for callers whose project some hard budget may count, whoever it is for', () => {
  const may = (scope: BudgetScope, mode: Budget['mode'] = 'hard') => {
    const index = new BudgetIndex()
    index.put(budget('b', scope, { mode }))
    return index.mayHold(identity)
  }
  for (const scope of [
    { project: 'p1' },
    { account: 'acct_1' },
    { project: 'p1', key: 'k2', model: 'm' },
    { key: 'k2' },
  ])
    assert.ok(may(scope), JSON.stringify(scope))
  assert.ok(!may({ project: 'p1' }, 'soft'))
  for (const scope of [{ project: 'p2' }, { account: 'acct_2' }, { account: 'acct_1', project: 'p2' }])
    assert.ok(!may(scope), JSON.stringify(scope))
})
