import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { findNatsServer, isOlder } from './nats-binary.ts'
import { StackError } from './stack-error.ts'

test('versions are compared by number', () => {
  assert.equal(isOlder('2.9.30', '2.10.27'), true)
  assert.equal(isOlder('2.10.27', '2.10.27'), false)
  assert.equal(isOlder('2.10.9', '2.10.27'), true)
  assert.equal(isOlder('3.0.0', '2.10.27'), false)
})

test('a NATS server that is missing or too old is refused in one sentence', t => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-nats-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const old = join(folder, 'nats-server')
  writeFileSync(old, '#!/bin/sh\necho "nats-server: v2.10.26"\n')
  chmodSync(old, 0o755)
  assert.throws(() => findNatsServer({ NATS_SERVER_BIN: old }), { name: 'StackError', message: /2\.10\.26; at least/ })
  assert.throws(() => findNatsServer({ NATS_SERVER_BIN: join(folder, 'none') }), StackError)
})
