import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { BodyMemory } from '../read-request.ts'
import { Spool } from './spool.ts'

async function newFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'spool-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}
async function untilEmpty(folder: string): Promise<void> {
  for (let left = 200; (await readdir(folder)).length > 0; left--) {
    assert.ok(left > 0, 'the file is gone')
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

test('a body comes back as it was written, as often as it is opened, and is gone when its call has ended', async t => {
  const folder = await newFolder(t)
  const space = new BodyMemory(6)
  const spool = await Spool.open(folder, space)
  const file = await spool.create()
  await file.write(Buffer.from('abc'))
  await file.write(Buffer.from('def'))
  await file.finish()
  assert.equal(file.size, 6)
  assert.equal((await stat(file.path)).mode & 0o777, 0o600)
  assert.equal((await buffer(file.open())).toString(), 'abcdef')
  const late = file.open()
  file.discard()
  file.discard()
  assert.doesNotThrow(() => space.take(6), 'its room is free')
  await untilEmpty(folder)
  assert.equal((await buffer(late)).toString(), 'abcdef', 'who reads it reads on')
})

test('files of all calls together stay below the cap, and room comes back', async t => {
  const spool = await Spool.open(await newFolder(t), new BodyMemory(10))
  const [first, second] = [await spool.create(), await spool.create()]
  await first.write(Buffer.alloc(8))
  await assert.rejects(second.write(Buffer.alloc(3)), { reason: 'overloaded' })
  first.discard()
  await second.write(Buffer.alloc(3))
  second.discard()
})

test('what a process that died has left is deleted at the next start, and nothing else', async t => {
  const folder = await newFolder(t)
  await writeFile(join(folder, 'left.upload'), 'x')
  await writeFile(join(folder, 'note.txt'), 'x')
  await Spool.open(folder, new BodyMemory(10))
  assert.deepEqual(await readdir(folder), ['note.txt'])
})
