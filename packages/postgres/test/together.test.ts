import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import type { Series } from '@sluice/contracts'
import { testPostgres } from '@sluice/test-env'
import { sql } from 'kysely'
import { createSeriesMarks, type Kysely, openDatabase, openMarks, type Transaction, together } from '../src/index.ts'

interface Tables {
  notes: { id: number; text: string }
}

async function open(t: TestContext): Promise<Kysely<Tables>> {
  const { url } = await testPostgres(t, { schemas: ['notes'] })
  // One connection: what a transaction leaves behind on it, the next finds.
  const database = openDatabase<Tables>({ url, schema: 'notes', maxConnections: 1 })
  t.after(() => database.close())
  await sql`create table notes (id int primary key, text text not null)`.execute(database.db)
  return database.db
}

const put = (id: number, text: string) => sql<{ id: number }>`insert into notes values (${id}, ${text}) returning id`

test('statements that go together run in their order, and each has its own rows', async t => {
  const db = await open(t)
  const found = await db.transaction().execute(async trx => {
    assert.deepEqual(await together(trx, []), [])
    return await together(trx, [
      put(1, 'a'),
      trx.selectFrom('notes').select('text'),
      put(2, 'b'),
      sql<{ n: number }>`select count(*)::int as n from notes`,
    ])
  })
  assert.deepEqual(found, [[{ id: 1 }], [{ text: 'a' }], [{ id: 2 }], [{ n: 2 }]])
})

test('the first that fails is what is thrown; nothing of them stays, and the connection serves on', async t => {
  const db = await open(t)
  const failing = db
    .transaction()
    .execute(trx => together(trx, [put(1, 'a'), sql`select 1 / ${0}::int`, put(2, 'b'), put(1, 'c')]))
  await assert.rejects(failing, { code: '22012' })
  const after = await db.transaction().execute(trx => together(trx, [trx.selectFrom('notes').selectAll(), put(3, 'd')]))
  assert.deepEqual(after, [[], [{ id: 3 }]])
})

const series = (gatewayId: string, partition: number): Series => ({ gatewayId, epoch: 3, partition })

/** Receives numbers 1 to `last` of each. @returns how many of them were new */
async function receive(trx: Transaction<never>, of: readonly Series[], last: number): Promise<number> {
  const marks = await openMarks(trx, of)
  const fresh = of.flatMap(each => marks.receive(each, 1, last))
  await marks.save()
  return fresh.reduce((sum, range) => sum + range.last - range.first + 1, 0)
}

test('marks that are opened together count each number once, known or new, in whatever order and by however many at once', async t => {
  const { url } = await testPostgres(t, { schemas: ['notes'] })
  const database = openDatabase<never>({ url, schema: 'notes' })
  t.after(() => database.close())
  await createSeriesMarks.up(database.db)
  const take = (last: number, ...of: Series[]) => database.db.transaction().execute(trx => receive(trx, of, last))
  const [one, two, three] = [series('gw_a', 0), series('gw_b', 7), series('gw_c', 1)]
  assert.equal(await take(5, one), 5)
  assert.equal(await take(6, one, two), 1 + 6)
  assert.equal(await take(6, two, one), 0)
  assert.equal(await take(8, one, one), 2)
  const counted = await Promise.all([take(9, one, two, three), take(9, three, two, one), take(9, two, three)])
  assert.equal(
    counted.reduce((sum, n) => sum + n, 0),
    1 + 3 + 9,
  )
})
