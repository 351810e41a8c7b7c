import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { testPostgres } from '@sluice/test-env'
import { sql } from 'kysely'
import pg from 'pg'
import { openDatabase, transact } from '../src/index.ts'

interface Tables {
  notes: { id: number; text: string }
}

async function open(t: TestContext) {
  const { url } = await testPostgres(t, { schemas: ['notes'] })
  // One connection: what a transaction leaves behind on it, the next finds.
  const { db, close } = openDatabase<Tables>({ url, schema: 'notes', maxConnections: 1 })
  t.after(close)
  await sql`create table notes (id int primary key, text text not null)`.execute(db)
  const list = async () => (await db.selectFrom('notes').select('text').orderBy('id').execute()).map(({ text }) => text)
  return { db, list }
}

const put = (id: number, text: string) => sql`insert into notes values (${id}, ${text})`

test('what goes with the commit runs behind all else, and the commit is sent before it is answered', async t => {
  const { db, list } = await open(t)
  const said: string[] = []
  const query = pg.Client.prototype.query as (...args: unknown[]) => Promise<unknown>
  t.mock.method(pg.Client.prototype, 'query', async function (this: pg.Client, ...args: unknown[]) {
    const name = String(args[0]).split(' ')[0]
    said.push(`${name} sent`)
    const answer = await query.apply(this, args)
    said.push(`${name} answered`)
    return answer
  })
  const result = await transact(db, async (trx, withCommit) => {
    withCommit([put(1, 'a'), sql`update notes set text = text || 'b'`])
    await sql`delete from notes`.execute(trx)
    return 'done'
  })
  t.mock.restoreAll()
  assert.equal(result, 'done')
  assert.deepEqual(await list(), ['ab'])
  assert.deepEqual(said.slice(said.indexOf('delete sent')), [
    'delete sent',
    'delete answered',
    'insert sent',
    'update sent',
    'commit sent',
    'insert answered',
    'update answered',
    'commit answered',
  ])
})

test('where what goes with the commit fails, nothing of the transaction stays, and it fails with what the statement says', async t => {
  const { db, list } = await open(t)
  const failing = transact(db, async (trx, withCommit) => {
    await put(1, 'a').execute(trx)
    withCommit([put(2, 'b'), sql`select 1 / ${0}::int`, put(3, 'c')])
  })
  await assert.rejects(failing, { code: '22012' })
  assert.deepEqual(await list(), [])
})

test('what was to go with the commit is not sent where the work fails before', async t => {
  const { db, list } = await open(t)
  const failing = transact(db, async (_trx, withCommit) => {
    withCommit([put(1, 'a')])
    throw new Error('no')
  })
  await assert.rejects(failing, { message: 'no' })
  assert.deepEqual(await list(), [])
})
