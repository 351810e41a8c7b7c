import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { testPostgres } from '@sluice/test-env'
import { sql } from 'kysely'
import {
  createSeriesMarks,
  few,
  type Kysely,
  openDatabase,
  openMarks,
  prepare,
  prepared,
  preparedForFew,
  together,
} from '../src/index.ts'

async function open(t: TestContext): Promise<Kysely<never>> {
  const { url } = await testPostgres(t, { schemas: ['sums'] })
  // One connection: what is prepared on it, the next use finds.
  const database = openDatabase<never>({ url, schema: 'sums', maxConnections: 1 })
  t.after(() => database.close())
  return database.db
}

const double = (n: number) => sql<{ double: number }>`${prepared}select 2 * ${n}::int as double`
const halve = (n: number) => sql<{ half: number }>`${prepared}select 84 / ${n}::int as half`

async function countPrepared(db: Kysely<never>): Promise<number> {
  const { rows } = await sql<{ n: number }>`select count(*)::int as n from pg_prepared_statements`.execute(db)
  return rows[0]?.n ?? Number.NaN
}

test('what is marked is prepared once on a connection, whoever sends it and together with whatever; nothing else is', async t => {
  const db = await open(t)
  await sql`select ${1}::int as one`.execute(db)
  assert.equal(await countPrepared(db), 0)
  assert.deepEqual((await double(2).execute(db)).rows, [{ double: 4 }])
  const found = await db
    .transaction()
    .execute(trx => together(trx, [double(3), halve(2), double(4), sql`select 1 as one`, halve(3)]))
  assert.deepEqual(found, [[{ double: 6 }], [{ half: 42 }], [{ double: 8 }], [{ one: 1 }], [{ half: 28 }]])
  assert.equal(await countPrepared(db), 2)
})

test('a query of the builder may be marked, too', async t => {
  const db = await open(t)
  const double = (n: number) => prepare(db.selectNoFrom(sql<number>`2 * ${n}::int`.as('double')))
  assert.deepEqual((await double(2).execute(db)).rows, [{ double: 4 }])
  assert.deepEqual((await double(3).execute(db)).rows, [{ double: 6 }])
  assert.equal(await countPrepared(db), 1)
})

test('what looks rows up that an array names is planned once, for any number of them, and leaves none out', async t => {
  const db = await open(t)
  await sql`create table sums (id int primary key)`.execute(db)
  await sql`insert into sums select generate_series(1, 5000)`.execute(db)
  await sql`analyze sums`.execute(db)
  const find = (ids: readonly number[]) => sql<{ id: number }>`${prepared}select id
    from (select unnest(${ids}::int[]) as id ${few(ids)}) as named join sums using (id) order by id`
  for (let time = 1; time <= 10; time++) assert.deepEqual((await find([7]).execute(db)).rows, [{ id: 7 }])
  const many = Array.from({ length: 300 }, (_, at) => at + 1)
  assert.deepEqual(
    (await find(many).execute(db)).rows,
    many.map(id => ({ id })),
  )
  assert.deepEqual((await find([]).execute(db)).rows, [])
  const { rows } = await sql`select custom_plans::int, generic_plans::int from pg_prepared_statements`.execute(db)
  assert.deepEqual(rows, [{ custom_plans: 5, generic_plans: 7 }])
})

test('what names many rows is planned for them, where what names few is prepared', async t => {
  const db = await open(t)
  const countNamed = (ids: readonly number[]) =>
    sql<{ n: number }>`${preparedForFew(ids.length)}select count(*)::int as n from unnest(${ids}::int[])`.execute(db)
  const many = Array.from({ length: 33 }, (_, at) => at)
  assert.deepEqual((await countNamed(many)).rows, [{ n: 33 }])
  assert.equal(await countPrepared(db), 0)
  assert.deepEqual((await countNamed(many.slice(1))).rows, [{ n: 32 }])
  assert.equal(await countPrepared(db), 1)
})

test('one that fails, the first time or later, or behind one that has failed, is there for whoever sends it again', async t => {
  const db = await open(t)
  const failing = () => db.transaction().execute(trx => together(trx, [halve(0), double(1), halve(1)]))
  await assert.rejects(failing, { code: '22012' })
  await assert.rejects(failing, { code: '22012' })
  const found = await db.transaction().execute(trx => together(trx, [halve(1), double(1)]))
  assert.deepEqual(found, [[{ half: 84 }], [{ double: 2 }]])
})

test('one that was prepared before its table has got another column goes on', async t => {
  const db = await open(t)
  await sql`create table sums (id int primary key)`.execute(db)
  const put = (id: number) => sql<{ id: number }>`${prepared}insert into sums
    select * from jsonb_populate_recordset(null::sums, ${JSON.stringify([{ id }])}::jsonb) returning id`
  assert.deepEqual((await put(1).execute(db)).rows, [{ id: 1 }])
  await sql`alter table sums add column text text`.execute(db)
  assert.deepEqual((await put(2).execute(db)).rows, [{ id: 2 }])
})

test('marks of whatever series are locked and saved by the same three statements', async t => {
  const db = await open(t)
  await createSeriesMarks.up(db)
  for (const partition of [1, 2, 3])
    await db.transaction().execute(async trx => {
      const series = { gatewayId: 'gateway', epoch: 1, partition }
      const marks = await openMarks(trx, [series])
      marks.receive(series, 1, 2)
      await marks.save()
    })
  assert.equal(await countPrepared(db), 3)
})
