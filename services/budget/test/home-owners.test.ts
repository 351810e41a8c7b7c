import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HOMES } from '@sluice/contracts'
import { transact } from '@sluice/postgres'
import { sql } from 'kysely'
import { giveUpHomes, lockOwnHome, type OwnedHome, renewHomes } from '../src/homes/ownership-store.ts'
import { fileScope, openStores } from './budget-service.ts'

const { db } = await openStores(fileScope)

const runOut = () => sql`update partition_owners set expires_at = clock_timestamp() - interval '1 second'`.execute(db)

/** As an instance does twice a second. What waits for a lock fails. */
const renew = (owner: string, owned: readonly OwnedHome[]) =>
  transact(db, async trx => {
    await sql`set local lock_timeout = '2s'`.execute(trx)
    return (await renewHomes(trx, owner, owned)).owned
  })

const lock = (owner: string, owned: OwnedHome) =>
  transact(db, async trx => (await lockOwnHome(trx, owner, owned, Date.now())) !== undefined)

test('homes are renewed while one of them is worked for, and nobody takes that one, however long it takes', async () => {
  const owned = await renew('one', [])
  assert.equal(owned.length, HOMES)
  const [busy, idle] = owned
  assert.ok(busy && idle)
  await transact(db, async trx => {
    assert.ok(await lockOwnHome(trx, 'one', busy, Date.now()))
    assert.deepEqual(await renew('one', owned), owned)
    const { rows } = await sql<{ home: number }>`select home from partition_owners
      where expires_at < clock_timestamp() + interval '2 seconds'`.execute(db)
    assert.deepEqual(rows, [])
  })
  await runOut()
  await transact(db, async trx => {
    assert.ok(await lockOwnHome(trx, 'one', busy, Date.now()))
    const taken = await renew('two', [])
    assert.equal(taken.length, HOMES / 2)
    assert.ok(!taken.some(({ home }) => home === busy.home))
  })
  // It was renewed by those who worked for it.
  const taken = await renew('three', [])
  assert.ok(taken.length > 0 && !taken.some(({ home }) => home === busy.home))
  assert.equal(await lock('one', busy), true)
  assert.equal(await lock('one', idle), false)
})

test("a home that has run out is its last owner's until somebody takes it; one that was given up is nobody's", async () => {
  await runOut()
  const owned = await renew('four', [])
  const [kept, given] = owned
  assert.ok(kept && given)
  await runOut()
  assert.equal(await lock('four', kept), true)
  await giveUpHomes(db, 'four', [given])
  assert.equal(await lock('four', given), false)
  const last = await renew('five', [])
  assert.ok(last.some(({ home }) => home === given.home))
  assert.ok(!last.some(({ home }) => home === kept.home))
})
