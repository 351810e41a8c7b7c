import assert from 'node:assert/strict'
import { test } from 'node:test'
import { writeFrontRoutes } from './front-routes.ts'

test('narrow patterns come before the wide ones that would also match', () => {
  const text = writeFrontRoutes({
    accounts: 'http://a',
    budget: 'http://b',
    billing: 'http://c',
    analytics: 'http://d',
  })
  const patterns = text.split(',').map(entry => entry.slice(0, entry.lastIndexOf('=')))
  assert.equal(patterns.indexOf('/accounts/**'), patterns.length - 3)
  assert.ok(patterns.indexOf('/api/calls/**') < patterns.indexOf('/api/**'))
  assert.match(text, /\/accounts\/projects\/\*\/usage=http:\/\/d,/)
  assert.match(text, /\/accounts\/projects\/\*\/balance=http:\/\/c,/)
  assert.match(text, /\/accounts\/projects\/\*\/budgets\/\*\*=http:\/\/b,/)
})
