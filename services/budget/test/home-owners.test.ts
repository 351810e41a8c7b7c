import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HOMES } from '@sluice/contracts'
import { transact } from '@sluice/postgres'
import { sql } from 'kysely'
import { giveUpHomes, lockOwnHome, type OwnedHome, renewHomes } from '../src/homes/ownership-store.ts'
import { fileScope, openStores } from './budget-service.ts'

const { db } = await openStores(fileScope)

/** As a second after they were renewed. */
const passSecond = async () => {
  await sql`update partition_owners set expires_at = expires_at - interval '1 second'`.execute(db)
  await sql`update budget_instances set expires_at = expires_at - interval '1 second'`.execute(db)
}

/** All homes, or all but one. */
const runOut = (but = -1) =>
  sql`update partition_owners set expires_at = clock_timestamp() - interval '1 second'
  where home <> ${but}`.execute(db)

async function endsOf(): Promise<Map<number, number>> {
  const rows = await db.selectFrom('partition_owners').select(['home', 'expires_at']).execute()
  return new Map(rows.map(row => [row.home, row.expires_at.getTime()]))
}

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
  await passSecond()
  await transact(db, async trx => {
    assert.ok(await lockOwnHome(trx, 'one', busy, Date.now()))
    const before = await endsOf()
    assert.deepEqual(await renew('one', owned), owned)
    for (const [home, end] of await endsOf())
      if (home !== busy.home) assert.ok(end > (before.get(home) ?? 0), `${home}`)
  })
  await runOut()
  await transact(db, async trx => {
    assert.ok(await lockOwnHome(trx, 'one', busy, Date.now()))
    const taken = await renew('two', [])
    assert.ok(taken.length > 0 && !taken.some(({ home }) => home === busy.home))
  })
  // It was renewed by those who worked for it.
  await runOut(busy.home)
  const taken = await renew('three', [])
  assert.ok(taken.length > 0 && !taken.some(({ home }) => home === busy.home))
  assert.equal(await lock('one', busy), true)
  assert.equal(await lock('one', idle), false)
})

test('an owner that has most of its time left is asked about and written no more often than once a second', async () => {
  await runOut()
  const owned = await renew('six', [])
  const written = async () => {
    const { rows } = await sql<{
      xmin: string
    }>`select home::text as of, xmin::text from partition_owners where owner = 'six'
      union all select owner, xmin::text from budget_instances where owner = 'six' order by 1`.execute(db)
    return rows
  }
  const first = await written()
  assert.equal(first.length, owned.length + 1)
  assert.deepEqual(await renew('six', owned), owned)
  assert.deepEqual(await written(), first)
  await passSecond()
  const late = await written()
  assert.deepEqual(await renew('six', owned), owned)
  assert.ok((await written()).every((row, at) => row.xmin !== late[at]?.xmin))
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
