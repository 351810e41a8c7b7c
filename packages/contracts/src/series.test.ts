import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ContractError } from './define-event.ts'
import { PARTITIONS } from './partitions.ts'
import { rangeFromHeaders, rangeToHeaders, type SeriesRange } from './series.ts'

const range: SeriesRange = { gatewayId: 'gw_a', epoch: 1, partition: 0, first: 1, last: 3 }
const read = (change: Partial<SeriesRange>) => {
  const headers = new Map(rangeToHeaders({ ...range, ...change }))
  return rangeFromHeaders(name => headers.get(name) ?? '')
}

test('a range is read as it was written, and one that no series can have is refused before it reaches a store', () => {
  const last = { partition: PARTITIONS - 1, first: 2 ** 40 - 1, last: 2 ** 40 - 1 }
  assert.deepEqual([read({}), read(last)], [range, { ...range, ...last }])
  const wrong: Partial<SeriesRange>[] = [
    { gatewayId: 'a b' },
    { gatewayId: 'gw.1' },
    { epoch: 0 },
    { partition: PARTITIONS },
    { first: 0 },
    { first: 4 },
    { last: 2 ** 40 },
    { last: 1.5 },
  ]
  for (const change of wrong) assert.throws(() => read(change), ContractError, JSON.stringify(change))
})
