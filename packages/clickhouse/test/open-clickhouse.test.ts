import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { type Clickhouse, isClickhouseUnavailable, openClickhouse, runClickhouseMigrations } from '../src/index.ts'

const folder = mkdtempSync(join(tmpdir(), 'sluice-clickhouse-'))
let clickhouse: Clickhouse
before(async () => {
  clickhouse = await openClickhouse({ chdbDir: join(folder, 'data') })
})
after(async () => {
  await clickhouse.close()
  rmSync(folder, { recursive: true, force: true })
})

test('a migration runs once, and data newer than the program is refused', async () => {
  const steps = join(folder, 'steps')
  mkdirSync(steps)
  writeFileSync(
    join(steps, '001-create-things.sql'),
    `-- what for
create table if not exists things (id UInt64, cost Int64) engine = MergeTree order by id
  settings non_replicated_deduplication_window = 100;
create table if not exists others (id UInt64) engine = MergeTree order by id;
`,
  )
  assert.deepEqual(await runClickhouseMigrations(clickhouse.writer, steps), ['001-create-things'])
  assert.deepEqual(await runClickhouseMigrations(clickhouse.writer, steps), [])
  rmSync(join(steps, '001-create-things.sql'))
  await assert.rejects(runClickhouseMigrations(clickhouse.writer, steps), /001-create-things/)
})

test('the same token inserts once, and 64-bit integers arrive unrounded', async () => {
  const rows = [{ id: '1', cost: '9007199254740993' }]
  await clickhouse.writer.insert('things', rows, 'a')
  await clickhouse.writer.insert('things', rows, 'a')
  await clickhouse.writer.insert('things', [{ id: '2', cost: '9007199254740993' }], 'b')
  assert.deepEqual(await clickhouse.queries.query('select count() as n, sum(cost) as cost from things'), [
    { n: '2', cost: '18014398509481986' },
  ])
})

test('embedded, it looks after its memory once a second', async () => {
  const [setting] = await clickhouse.queries.query<{ value: string }>(
    `select value from system.server_settings where name = 'memory_worker_period_ms'`,
  )
  assert.equal(setting?.value, '1000')
})

test('values reach a query as parameters only', async () => {
  const text = `'; drop table things; -- \\ "`
  assert.deepEqual(await clickhouse.queries.query('select {text:String} as text', { text }), [{ text }])
})

test('a wrong query is told apart from a store that is away', async () => {
  const wrong = await clickhouse.queries.query('select nope from things').catch(error => error)
  assert.equal(isClickhouseUnavailable(wrong), false)
  const away = await openClickhouse({ url: 'http://127.0.0.1:1' })
  const refused = await away.queries.query('select 1').catch(error => error)
  await away.close()
  assert.ok(refused instanceof Error && isClickhouseUnavailable(refused))
})

test('more queries than clients all get their answer', async () => {
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, n) => clickhouse.queries.query('select {n:UInt8} as n', { n })),
  )
  assert.deepEqual(
    answers.flat(),
    Array.from({ length: 20 }, (_, n) => ({ n })),
  )
})

test('where it cannot be embedded, that is said with what to do instead', async () => {
  const elsewhere = "Object.defineProperty(process, 'arch', { value: 'arm' })"
  const opened = import.meta.resolve('../src/open-clickhouse.ts')
  const open = `(await import(process.argv[1])).openClickhouse({ chdbDir: process.argv[2] })`
  const failed = promisify(execFile)(process.execPath, [
    ...['--import', `data:text/javascript,${encodeURIComponent(elsewhere)}`],
    ...['--input-type=module', '--eval', open, opened, join(folder, 'elsewhere')],
  ])
  await assert.rejects(failed, /ClickHouse cannot be embedded on \w+-arm: .*Set CLICKHOUSE_URL/)
})
