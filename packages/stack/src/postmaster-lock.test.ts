import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { releasePostmasterLock } from './postmaster-lock.ts'

test('an id that another program has by now is struck out, and what tells of living sessions stays', t => {
  const data = mkdtempSync(join(tmpdir(), 'sluice-lock-'))
  t.after(() => rmSync(data, { recursive: true }))
  const rest = `${data}\n1790000000\n5432\n\n127.0.0.1\n  12345  7\nready\n`
  writeFileSync(join(data, 'postmaster.pid'), `1\n${rest}`)
  releasePostmasterLock(data)
  assert.equal(readFileSync(join(data, 'postmaster.pid'), 'utf8'), `99999999\n${rest}`)
})
