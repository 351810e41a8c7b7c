import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import type { Series } from '@sluice/contracts'
import { testPostgres } from '@sluice/test-env'
import { createSeriesMarks, type Kysely, openDatabase, openMarks, type Transaction } from '../src/index.ts'

const series = (gatewayId: string, partition: number): Series => ({ gatewayId, epoch: 3, partition })

async function startMarks(t: TestContext): Promise<Kysely<never>> {
  const { url } = await testPostgres(t, { schemas: ['marks'] })
  const database = openDatabase<never>({ url, schema: 'marks' })
  t.after(() => database.close())
  await createSeriesMarks.up(database.db)
  return database.db
}

/** Receives numbers 1 to `last` of each. @returns how many of them were new */
async function receive(trx: Transaction<never>, of: readonly Series[], last: number): Promise<number> {
  const marks = await openMarks(trx, of)
  const fresh = of.flatMap(each => marks.receive(each, 1, last))
  await marks.save()
  return fresh.reduce((sum, range) => sum + range.last - range.first + 1, 0)
}

test('what is received together is new once, whatever is known of its series', async t => {
  const db = await startMarks(t)
  const [known, other] = [series('gw_a', 0), series('gw_b', 7)]
  const together = (last: number, ...of: Series[]) => db.transaction().execute(trx => receive(trx, of, last))
  assert.equal(await together(5, known), 5)
  assert.equal(await together(6, known, other), 1 + 6)
  assert.equal(await together(6, other, known), 0)
  assert.equal(await together(8, known, known), 2)
})

test('marks that are known are locked by one statement, and written by one', async t => {
  const db = await startMarks(t)
  const of = [series('gw_a', 0), series('gw_a', 1), series('gw_b', 0)]
  await db.transaction().execute(trx => receive(trx, of, 1))
  const statements: string[] = []
  const told = db.withPlugin({
    transformQuery: ({ node }) => {
      statements.push(node.kind)
      return node
    },
    transformResult: async ({ result }) => result,
  })
  await told.transaction().execute(trx => receive(trx, of, 2))
  assert.equal(statements.length, 2)
})

test('whoever comes second waits, and finds what the first has received', async t => {
  const db = await startMarks(t)
  const of = [series('gw_a', 0), series('gw_b', 0)]
  await db.transaction().execute(trx => receive(trx, of, 1))
  const counted = await Promise.all(
    [of, [...of].reverse(), of].map(each => db.transaction().execute(trx => receive(trx, each, 4))),
  )
  assert.deepEqual(counted.sort(), [0, 0, 6])
})
