import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { lockHome, openHome, spaceError } from './home.ts'

function makeHome(t: TestContext): string {
  const home = mkdtempSync(join(tmpdir(), 'sluice-home-'))
  t.after(() => rmSync(home, { recursive: true }))
  return home
}

test('a full disk is one sentence, however it is told: by the system, by PostgreSQL, by NATS', () => {
  const nats = new Error('open /x/obs/analytics-rows/o.dat.tmp: no space left on device')
  for (const cause of [
    Object.assign(new Error('write'), { code: 'ENOSPC' }),
    new Error('could not extend file: No space left on device'),
    nats,
    new Error('NATS consumer analytics-rows cannot be made', { cause: nats }),
    new Error('NATS consumer billing-ledger cannot be made: error creating store for consumer'),
  ])
    assert.match(String(spaceError('/x', cause)), /The disk that holds \/x is full\. Free some space/)
  const other = new Error('something else')
  assert.equal(spaceError('/x', other), other)
})

test('a home is held by one at a time, and the next is told by whom', t => {
  const home = makeHome(t)
  const lock = lockHome(home, 'http://127.0.0.1:1')
  assert.throws(() => lockHome(home, 'http://127.0.0.1:2'), {
    name: 'StackError',
    message: new RegExp(`already runs from ${home}: process ${process.pid}, .*http://127.0.0.1:1`),
  })
  lock.release()
  lockHome(home, 'http://127.0.0.1:2').release()
})

test('a folder with other files, or of another version, is left alone', t => {
  const foreign = makeHome(t)
  writeFileSync(join(foreign, 'thesis.txt'), 'keep me')
  assert.throws(() => openHome(foreign), { name: 'StackError', message: /holds files that are not Sluice's/ })
  assert.deepEqual(readdirSync(foreign), ['thesis.txt'])
  const newer = makeHome(t)
  writeFileSync(join(newer, 'sluice.json'), '{"layout":99}')
  assert.throws(() => openHome(newer), { name: 'StackError', message: /layout 99, this one reads 1/ })
})
