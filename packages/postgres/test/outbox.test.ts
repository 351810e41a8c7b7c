import assert from 'node:assert/strict'
import test from 'node:test'
import { createLogger } from '@sluice/runtime'
import { eventually, testPostgres } from '@sluice/test-env'
import type { Kysely } from 'kysely'
import { createOutbox, enqueue, indexOutboxBeside, openDatabase, startOutboxRelay } from '../src/index.ts'

const entryOf = (target: string) => ({ kind: 'event', target, key: target, payload: '{}' }) as const

test('an outbox is looked through for what others have left in one question for all lanes', async t => {
  const { url } = await testPostgres(t, { schemas: ['sender'] })
  const database = openDatabase<never>({ url, schema: 'sender' })
  t.after(() => database.close())
  for (const step of [createOutbox, indexOutboxBeside(['apart'])]) await step.up(database.db)
  const asked: string[] = []
  const sent: string[] = []
  const relay = startOutboxRelay(
    noting(database.db, asked),
    async ({ target }) => {
      if (sent.push(target) === 1) throw new Error('the bus is away')
    },
    { log: createLogger('sender', 'silent'), retryMs: 10, apart: ['apart'] },
  )
  t.after(relay.close)
  await eventually(() => asked.length >= 3)
  assert.equal(new Set(asked).size, 1, 'nothing else is asked where nothing waits')

  // Committed by an instance that has gone since: nobody here was told.
  await database.db.transaction().execute(trx => enqueue(trx, [entryOf('apart')]))
  await eventually(() => sent.length === 2)
  await database.db.transaction().execute(trx => enqueue(trx, [entryOf('other')]))
  await eventually(() => sent.length === 3)
  assert.deepEqual(sent, ['apart', 'apart', 'other'], 'and what could not be sent is sent again')
})

/** The same, noting its statements. */
function noting<Tables>(db: Kysely<Tables>, asked: string[]): Kysely<Tables> {
  return db.withPlugin({
    transformQuery: ({ node }) => {
      asked.push(JSON.stringify(node))
      return node
    },
    transformResult: async ({ result }) => result,
  })
}
