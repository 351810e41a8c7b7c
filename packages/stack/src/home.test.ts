import assert from 'node:assert/strict'
import { test } from 'node:test'
import { spaceError } from './home.ts'

test('a full disk is one sentence, however it is told: by the system, by PostgreSQL, by NATS', () => {
  const nats = new Error('open /x/obs/analytics-rows/o.dat.tmp: no space left on device')
  for (const cause of [
    Object.assign(new Error('write'), { code: 'ENOSPC' }),
    new Error('could not extend file: No space left on device'),
    nats,
    new Error('NATS consumer analytics-rows cannot be made', { cause: nats }),
    new Error('NATS consumer billing-ledger cannot be made: error creating store for consumer'),
  ])
    assert.match(String(spaceError('/x', cause)), /The disk that holds \/x is full\. Free some space/)
  const other = new Error('something else')
  assert.equal(spaceError('/x', other), other)
})
