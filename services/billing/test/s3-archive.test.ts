import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { test } from 'node:test'
import { type TestScope, testFolder } from '@sluice/test-env'
import { openArchive, parseArchiveTarget } from '../src/archive/archive-storage.ts'
import { archiveClosedDays } from '../src/archive/archiver.ts'
import { verifyArchive } from '../src/archive/verify-archive.ts'
import { archiverOf, daysOfTest, postDays, readWholeLog } from './archive-env.ts'
import { billingStores, sumOf } from './billing-env.ts'

// It comes without types.
const S3Server = createRequire(import.meta.url)('@20minutes/s3rver') as new (options: {
  address: string
  port: number
  silent: boolean
  allowMismatchedSignatures: boolean
  directory: string
  configureBuckets: { name: string; configs: [] }[]
}) => { run: () => Promise<{ port: number }>; close: () => Promise<void> }

/** The credentials that the server knows. */
const known = { accessKeyId: 'S3RVER', secretAccessKey: 'S3RVER' }

/** `lenient`: it takes any signature, since it does not sign the path of a listing as the SDK and real stores do. */
async function s3Server(t: TestScope, lenient: boolean) {
  const directory = testFolder(t, 's3')
  const configureBuckets = [{ name: 'usage', configs: [] as [] }]
  const server = new S3Server({
    address: '127.0.0.1',
    port: 0,
    silent: true,
    allowMismatchedSignatures: lenient,
    directory,
    configureBuckets,
  })
  const { port } = await server.run()
  t.after(() => server.close())
  const open = async (credentials: typeof known) => {
    const url = `s3://usage/sluice/log?endpoint=http://127.0.0.1:${port}`
    const target = parseArchiveTarget(url, credentials)
    assert.ok(target)
    const storage = await openArchive(target)
    t.after(() => storage.close())
    return storage
  }
  return { directory, open }
}

test('an S3-compatible store holds the archive as a folder does: written once, verified, read after the drop', async t => {
  const { directory, open } = await s3Server(t, true)
  const storage = await open(known)
  const stores = await billingStores(t, storage)
  const events = await postDays(stores)
  const before = await readWholeLog(stores)
  const deps = archiverOf(stores, storage, { dropAfterDays: 1 })
  assert.deepEqual(await archiveClosedDays(deps), { archived: daysOfTest, dropped: daysOfTest.slice(0, 2) })
  assert.deepEqual(await readWholeLog(stores), before)
  const report = await verifyArchive(deps)
  assert.deepEqual(report.problems, [])
  assert.equal(report.cost_nano_usd, String(sumOf(events)))
  assert.equal(await storage.read('days/2020-01-01.json'), undefined)

  // One byte of one object, in the server's own files.
  const objects = readdirSync(directory, { recursive: true, encoding: 'utf8' })
  const name = objects.find(path => path.includes('2026-11-21') && path.includes('usage-') && path.endsWith('_object'))
  assert.ok(name, objects.join('\n'))
  const path = join(directory, name)
  const content = readFileSync(path)
  content[20] = (content[20] ?? 0) ^ 1
  writeFileSync(path, content)
  assert.match((await verifyArchive(deps)).problems.join('; '), /segments\/2026-11-21\/\S+ was changed/)
})

test('a store that does not know our credentials gets nothing, and no day counts as archived', async t => {
  const { open } = await s3Server(t, false)
  const storage = await open({ ...known, secretAccessKey: 'another' })
  const stores = await billingStores(t, storage)
  await postDays(stores)
  await assert.rejects(archiveClosedDays(archiverOf(stores, storage)))
  assert.deepEqual(await stores.days.list(), [])
})

test('an archive is a folder or a bucket, and nothing that could be read as either', () => {
  assert.deepEqual(parseArchiveTarget('/var/lib/sluice'), { kind: 'folder', path: '/var/lib/sluice' })
  assert.deepEqual(parseArchiveTarget('file:///var/lib/a%20b'), { kind: 'folder', path: '/var/lib/a b' })
  assert.deepEqual(parseArchiveTarget('s3://bucket/a/b/?region=eu-central-1'), {
    kind: 's3',
    bucket: 'bucket',
    prefix: 'a/b/',
    region: 'eu-central-1',
  })
  for (const wrong of [
    'archive',
    './archive',
    's3://',
    'https://bucket/x',
    's3://key:secret@bucket/x',
    's3://b?endpoint=ftp://x',
  ])
    assert.equal(parseArchiveTarget(wrong), undefined, wrong)
})
