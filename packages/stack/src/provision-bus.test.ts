import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findDifference } from './provision-bus.ts'

test('what the server adds of itself is no difference, what it holds otherwise is', () => {
  assert.equal(findDifference({ max_age: 1 }, { max_age: 1, sealed: false }), undefined)
  assert.match(findDifference({ max_age: 1 }, { max_age: 2 }) ?? '', /max_age is 2, not 1/)
  assert.equal(findDifference({ filter_subjects: ['a'] }, { filter_subject: 'a' }), undefined)
  assert.match(findDifference({ filter_subjects: ['a', 'b'] }, { filter_subjects: ['a'] }) ?? '', /filter_subjects/)
})
