import assert from 'node:assert/strict'
import { test } from 'node:test'
import { settlementEventId } from './settlement.ts'

test('the id of a settlement is fixed by its project and key, for ever', () => {
  const project = '11111111-1111-4111-8111-111111111111'
  const id = settlementEventId(project, 'msgbatch_1/first')
  assert.equal(id, settlementEventId(project, 'msgbatch_1/first'))
  assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  assert.notEqual(id, settlementEventId(project, 'msgbatch_1/second'))
  assert.notEqual(id, settlementEventId('22222222-2222-4222-8222-222222222222', 'msgbatch_1/first'))
})
