import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Budget, copyOfChosen, isPerChosen, mostCopyBytes, perTagPattern, tagOf, tagOfPer } from './budget-document.ts'
import { copyOfKey, cutoffKey } from './cutoff-document.ts'

test('a tag is what a call says under its name, and nothing that every object has', () => {
  assert.equal(tagOf({ ticket: 'T-1' }, 'ticket'), 'T-1')
  for (const name of ['constructor', '__proto__', 'toString', 'hasOwnProperty', 'other'])
    assert.equal(tagOf({ ticket: 'T-1' }, name), undefined, name)
  assert.equal(tagOf(JSON.parse('{"__proto__":"T-1"}'), '__proto__'), 'T-1')
  assert.equal(tagOf(undefined, 'ticket'), undefined)
})

test('what callers choose has copies by its value: unknown where they say nothing, shared where it is too long to be a name', () => {
  assert.deepEqual([copyOfChosen(undefined), copyOfChosen(''), copyOfChosen('codex')], ['unknown', 'unknown', 'codex'])
  assert.equal(copyOfChosen('é'.repeat(mostCopyBytes / 2)).length, mostCopyBytes / 2)
  assert.equal(copyOfChosen(`${'é'.repeat(mostCopyBytes / 2)}x`), 'other')
  for (const said of ['half \ud800', 'nothing \0']) assert.equal(copyOfChosen(said), 'other')
  assert.deepEqual(
    (['model', 'session', 'tag:ticket', 'member', 'project', undefined] as const).map(per => isPerChosen({ per })),
    [true, true, true, false, false, false],
  )
  assert.deepEqual([tagOfPer('tag:ticket'), tagOfPer('session')], ['ticket', undefined])
  for (const [per, isTag] of [
    ['tag:ticket', true],
    ['tag:', false],
    ['tag:Ticket', false],
    [`tag:${'x'.repeat(65)}`, false],
  ] as const)
    assert.equal(new RegExp(perTagPattern).test(per), isTag, per)
})

test('the key of a copy says which copy it is', () => {
  for (const copy of ['', 'codex', 'a.b@c', 'é/+=', '💶'])
    assert.deepEqual(copyOfKey(cutoffKey('bud_1', copy)), { budgetId: 'bud_1', copy })
  for (const key of ['bud_1.=', 'bud_1.a/b', 'bud_1.abcde']) assert.equal(copyOfKey(key), undefined, key)
})

test('a budget document may name each tag', () => {
  const budget = {
    ...{ budget_id: 'bud_1', version: 1, name: 'x', account_id: 'a', scope: {}, unit: 'usd', limit: 1, window: 'day' },
    ...{ time_zone: 'UTC', mode: 'soft', on_unknown: 'deny', created_at_ms: 1 },
  }
  assert.equal(Budget.check({ ...budget, per: 'tag:ticket' }).per, 'tag:ticket')
  for (const per of ['provider', 'tag:', 'tag']) assert.throws(() => Budget.check({ ...budget, per }), per)
})
