import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ConfigError, ConfigReader } from './config-reader.ts'

test('an origin is read from a URL, and what is none is told with all that is wrong', () => {
  const reader = new ConfigReader({ GOOD: 'https://sluice.example.com:8443/below?x', BAD: 'sluice' })
  assert.equal(reader.optionalOrigin('GOOD'), 'https://sluice.example.com:8443')
  assert.equal(reader.optionalOrigin('MISSING'), undefined)
  assert.equal(reader.optionalOrigin('BAD'), undefined)
  reader.integer('NUMBER', 5, { min: 1 })
  assert.throws(
    () => reader.check(),
    (error: unknown) => error instanceof ConfigError && /BAD is not a URL/.test(error.message),
  )
})
