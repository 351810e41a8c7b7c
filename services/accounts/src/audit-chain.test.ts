import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ChainedEntry, chainEntry, chainStart, followChain, hashEntry } from './audit-chain.ts'

const entry = (index: number) => ({
  at: new Date(1_795_446_638_000 + index).toISOString(),
  account_id: 'acct_01',
  project_id: null,
  actor_kind: 'member',
  actor_id: 'mem_01',
  from_address: '203.0.113.7',
  user_agent: null,
  action: 'team.changed',
  target: `team_${index}`,
  before: undefined,
  after: { name: 'x', nested: [{ b: index, a: new Date(0) }] },
})

function chainOf(length: number): ChainedEntry[] {
  const entries: ChainedEntry[] = []
  for (let index = 0; index < length; index++) entries.push(chainEntry(entries.at(-1) ?? chainStart, entry(index)))
  return entries
}

test('an untouched trail holds, whole or from any entry on', () => {
  const entries = chainOf(5)
  assert.deepEqual(
    entries.map(({ number }) => number),
    [1, 2, 3, 4, 5],
  )
  const { head, broken } = followChain(chainStart, entries)
  assert.deepEqual([head.number, head.hash, broken], [5, entries[4]?.hash, undefined])
  assert.equal(followChain(entries[1] ?? chainStart, entries.slice(2)).broken, undefined)
})

test('an entry hashes alike however its values were stored', () => {
  const [first] = chainOf(1)
  assert.ok(first)
  const turned = Object.fromEntries(Object.entries(JSON.parse(JSON.stringify(first))).reverse()) as never
  assert.equal(hashEntry(turned), first.hash)
})

test('whatever is done to a trail afterwards, the first entry that it breaks is named', () => {
  const entries = chainOf(5)
  const changed = (number: number, change: Partial<ChainedEntry>) =>
    entries.map(one => (one.number === number ? { ...one, ...change } : one))
  const rehashed = entries.map(one => {
    if (one.number !== 3) return one
    const altered = { ...one, target: 'team_9' }
    return { ...altered, hash: hashEntry(altered) }
  })
  const table: [what: string, entries: ChainedEntry[], broken: number][] = [
    ['a value is another', changed(3, { actor_id: 'mem_02' }), 3],
    ['a value within is another', changed(2, { after: { name: 'y' } }), 2],
    ['its time is another', changed(5, { at: new Date(0).toISOString() }), 5],
    ['it was hashed anew', rehashed, 4],
    ['one is left out', entries.filter(({ number }) => number !== 2), 2],
    ['the first is left out', entries.slice(1), 1],
    ['two change places', [0, 2, 1, 3, 4].flatMap(index => entries[index] ?? []), 2],
    ['one comes twice', [...entries.slice(0, 3), ...entries.slice(2)], 4],
  ]
  for (const [what, altered, broken] of table) assert.equal(followChain(chainStart, altered).broken, broken, what)
})
