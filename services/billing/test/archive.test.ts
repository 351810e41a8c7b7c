import assert from 'node:assert/strict'
import { chmodSync, copyFileSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { makeFolder } from '@sluice/test-env'
import { sql } from 'kysely'
import { ArchiveError } from '../src/archive/archive-error.ts'
import { archiveReader } from '../src/archive/archive-reader.ts'
import type { ArchiveStorage } from '../src/archive/archive-storage.ts'
import { archiveClosedDays } from '../src/archive/archiver.ts'
import { folderArchive } from '../src/archive/folder-archive.ts'
import { verifyArchive } from '../src/archive/verify-archive.ts'
import { usageLogStore } from '../src/usage-log-store.ts'
import { archiverOf, daysOfTest, nowMs, postDays, readWholeLog } from './archive-env.ts'
import { billingStores, sumOf } from './billing-env.ts'

/** An archive of three days in a folder. */
async function threeDays(t: Parameters<typeof billingStores>[0]) {
  const folder = makeFolder('archive')
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const storage = folderArchive(folder)
  const stores = await billingStores(t, storage)
  const events = await postDays(stores)
  const deps = archiverOf(stores, storage)
  const done = await archiveClosedDays(deps)
  assert.deepEqual(done, { archived: daysOfTest, dropped: [] })
  return { folder, storage, stores, events, deps }
}

const segmentsOf = (folder: string, day: string): string[] =>
  readdirSync(join(folder, 'segments', day)).map(name => join(folder, 'segments', day, name))

test('closed days are archived once, in a chain, and verify to the nano-dollar against the ledger', async t => {
  const { stores, events, deps, storage } = await threeDays(t)
  const report = await verifyArchive(deps)
  assert.deepEqual(report.problems, [])
  assert.equal(report.intact, true)
  assert.equal(report.events, events.length)
  assert.equal(report.cost_nano_usd, String(sumOf(events)))
  assert.equal(await stores.sumLedger(), sumOf(events))
  const days = (await stores.days.list()).map(({ document }) => document)
  assert.deepEqual(
    days.map(day => [day.day, day.number, day.previous?.hash ?? null]),
    daysOfTest.map((day, index) => [day, index + 1, days[index - 1]?.hash ?? null]),
  )
  const names = await storage.list('')
  assert.deepEqual(await archiveClosedDays(deps), { archived: [], dropped: [] })
  assert.deepEqual(await storage.list(''), names)
})

test('a day that is not over, or was over a moment ago, is not archived', async t => {
  const folder = makeFolder('archive')
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const storage = folderArchive(folder)
  const stores = await billingStores(t, storage)
  await postDays(stores)
  const during = archiverOf(stores, storage, { nowMs: () => Date.parse('2026-11-23T18:00:00Z') })
  assert.deepEqual((await archiveClosedDays(during))?.archived, daysOfTest.slice(0, 2))
  const justOver = archiverOf(stores, storage, { nowMs: () => Date.parse('2026-11-24T00:05:00Z') })
  assert.deepEqual((await archiveClosedDays(justOver))?.archived, [])
  const over = archiverOf(stores, storage, { nowMs: () => Date.parse('2026-11-24T00:11:00Z') })
  assert.deepEqual((await archiveClosedDays(over))?.archived, daysOfTest.slice(2))
})

test('one byte of any file that is changed is found and named', async t => {
  const { folder, deps, storage } = await threeDays(t)
  for (const name of await storage.list('')) {
    const path = join(folder, name)
    const content = readFileSync(path)
    const changed = Buffer.from(content)
    const at = Math.floor(changed.length / 2)
    changed[at] = (changed[at] ?? 0) ^ 1
    chmodSync(path, 0o640)
    writeFileSync(path, changed)
    const report = await verifyArchive(deps)
    assert.equal(report.intact, false, name)
    const day = /\d{4}-\d\d-\d\d/.exec(name)?.[0] ?? ''
    assert.ok(
      report.problems.every(problem => problem.includes(day)),
      `${name}: ${report.problems.join('; ')}`,
    )
    assert.match(report.problems.join('; '), /changed/)
    writeFileSync(path, content)
  }
  assert.equal((await verifyArchive(deps)).intact, true)
})

test('a segment that is missing, a manifest that is missing and manifests that changed places are found and named', async t => {
  const { folder, deps } = await threeDays(t)
  const [segment = ''] = segmentsOf(folder, '2026-11-21')
  renameSync(segment, `${segment}.away`)
  assert.match((await verifyArchive(deps)).problems.join('; '), /segment segments\/2026-11-21\/\S+ is missing/)
  renameSync(`${segment}.away`, segment)

  const manifest = (day: string) => join(folder, 'days', `${day}.json`)
  renameSync(manifest('2026-11-21'), join(folder, 'away'))
  assert.deepEqual((await verifyArchive(deps)).problems, ['day 2026-11-21: its manifest is missing'])
  renameSync(join(folder, 'away'), manifest('2026-11-21'))

  copyFileSync(manifest('2026-11-20'), join(folder, 'away'))
  copyFileSync(manifest('2026-11-23'), manifest('2026-11-20'))
  copyFileSync(join(folder, 'away'), manifest('2026-11-23'))
  assert.deepEqual((await verifyArchive(deps)).problems, [
    'day 2026-11-20: the manifest in its place is that of day 2026-11-23',
    'day 2026-11-23: the manifest in its place is that of day 2026-11-20',
  ])
})

test('a ledger that says something else than the archive is found and named by day', async t => {
  const { stores, deps } = await threeDays(t)
  await sql`update ledger_transactions set cost_nano_usd = cost_nano_usd + 1 where batch_id =
    (select min(batch_id) from usage_batches where posted_at >= '2026-11-21T00:00:00Z')`.execute(stores.db)
  const { problems } = await verifyArchive(deps)
  assert.equal(problems.length, 1)
  assert.match(problems[0] ?? '', /day 2026-11-21: posted cost, nano-USD: \d+ archived, \d+ in the ledger/)
})

test('an archiver that is ended at any write begins again, and the archive is the same', async t => {
  const folder = makeFolder('archive')
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const storage = folderArchive(folder)
  const stores = await billingStores(t, storage)
  const events = await postDays(stores)
  const writes = daysOfTest.length * 2
  for (let ended = 0; ended < writes * 2; ended++) {
    // Each run gets one step further: ended before a write, then after it.
    let steps = 0
    const breaking: ArchiveStorage = {
      ...storage,
      write: async (name, content) => {
        if (steps++ === 0 && ended % 2 === 0) throw new Error('ended before a write')
        await storage.write(name, content)
        if (ended % 2 === 1) throw new Error('ended after a write')
      },
    }
    await archiveClosedDays(archiverOf(stores, breaking)).catch((error: Error) => assert.match(error.message, /ended/))
  }
  const deps = archiverOf(stores, storage)
  await archiveClosedDays(deps)
  const report = await verifyArchive(deps)
  assert.deepEqual(report.problems, [])
  assert.equal(report.events, events.length)
  assert.deepEqual(
    (await storage.list('')).filter(name => name.includes('tmp')),
    [],
  )
})

test('two archivers at once: one of them works, and nothing is there twice', async t => {
  const folder = makeFolder('archive')
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const storage = folderArchive(folder)
  const stores = await billingStores(t, storage)
  await postDays(stores)
  const deps = archiverOf(stores, storage)
  const both = await Promise.all([archiveClosedDays(deps), archiveClosedDays(deps), archiveClosedDays(deps)])
  assert.deepEqual(both.flatMap(done => done?.archived ?? []).sort(), daysOfTest)
  assert.ok(both.some(done => done === undefined))
  assert.equal((await verifyArchive(deps)).intact, true)
})

test('another archive of the same days is not written over', async t => {
  const { storage } = await threeDays(t)
  const other = await billingStores(t, storage)
  await postDays(other)
  await assert.rejects(archiveClosedDays(archiverOf(other, storage)), ArchiveError)
})

test('days that are old enough are dropped from PostgreSQL only when their archive is whole, and read as before', async t => {
  const { folder, storage, stores, deps, events } = await threeDays(t)
  const before = await readWholeLog(stores)
  assert.equal(before.length, events.length)
  const dropping = archiverOf(stores, storage, { dropAfterDays: 2, nowMs: () => nowMs })
  const [segment = ''] = segmentsOf(folder, '2026-11-20')
  renameSync(segment, `${segment}.away`)
  await assert.rejects(archiveClosedDays(dropping), /day 2026-11-20 is not dropped: segment \S+ is missing/)
  renameSync(`${segment}.away`, segment)
  assert.deepEqual((await archiveClosedDays(dropping))?.dropped, daysOfTest.slice(0, 2))
  const { rows } = await sql<{ kept: number; gone: number }>`select count(content)::int as kept,
    count(*)::int - count(content)::int as gone from usage_batches`.execute(stores.db)
  assert.deepEqual(rows, [{ kept: 4, gone: 8 }])
  assert.deepEqual(await readWholeLog(stores), before)
  assert.deepEqual(await readWholeLog(stores, 1), before)
  assert.equal((await verifyArchive(deps)).intact, true)
  // The database still refuses what overlaps with a batch that it no longer holds.
  await assert.rejects(
    sql`insert into usage_batches (series_no, first, last, content) select series_no, first, last, '' from usage_batches
      where content is null limit 1`.execute(stores.db),
    /exclusion constraint/,
  )
  rmSync(folder, { recursive: true })
  const log = usageLogStore(stores.db, archiveReader({ storage, days: stores.days }))
  await assert.rejects(readWholeLog({ ...stores, log }), /segment \S+ is missing|neither in PostgreSQL nor/)
})
