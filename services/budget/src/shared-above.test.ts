import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CountedBudget } from './budget.ts'
import { unboundedBudgets } from './shared-above.ts'

const budget = (fields: Partial<CountedBudget>) =>
  ({ name: '', unit: 'usd', mode: 'soft', scope: { project: 'p' }, ...fields }) as CountedBudget
const sessions = budget({ name: 'sessions', per: 'session', scope: { project: 'p', team: 't', app: 'codex' } })

test('a budget for each of what callers choose needs a shared one that counts all of its calls, whatever they claim', () => {
  const rows: [string, Partial<CountedBudget>, bounds: boolean][] = [
    ['the project', {}, true],
    ['the team', { scope: { project: 'p', team: 't' } }, true],
    ['a stricter one', { mode: 'hard' }, true],
    ['a looser one', { mode: 'alert' }, false],
    ['another unit', { unit: 'tokens' }, false],
    ['another team', { scope: { project: 'p', team: 'u' } }, false],
    ['part of its calls', { scope: { project: 'p', team: 't', member: 'm' } }, false],
    ['what is claimed', { scope: { project: 'p', app: 'codex' } }, false],
    ['copies of its own', { per: 'member' }, false],
  ]
  for (const [name, fields, bounds] of rows)
    assert.deepEqual(unboundedBudgets([budget(fields), sessions]), bounds ? [] : [sessions], name)
  assert.deepEqual(unboundedBudgets([budget({}), budget({ per: 'member' })]), [], 'credentials are not made up')
})

test('a hard one needs a hard one', () => {
  const hard = budget({ name: 'sessions', per: 'tag:ticket', mode: 'hard' })
  assert.deepEqual(unboundedBudgets([budget({}), hard]), [hard])
  assert.deepEqual(unboundedBudgets([budget({ mode: 'hard' }), budget({}), hard]), [])
})
