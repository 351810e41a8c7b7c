import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { freePort, reservePort } from './free-port.ts'

test('a port is free, not given twice, and none that an outgoing connection could take', async () => {
  const ports = await Promise.all(Array.from({ length: 20 }, freePort))
  assert.equal(new Set(ports).size, ports.length)
  for (const port of ports) {
    assert.ok(port < 32_768, String(port))
    const server = createServer().listen(port, '127.0.0.1')
    await once(server, 'listening')
    server.close()
  }
})

test('a port that a living process has reserved is nobody else’s, one whose process is gone is', t => {
  const folder = mkdtempSync(join(tmpdir(), 'ports-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const ended = spawnSync(process.execPath, ['--eval', '']).pid
  writeFileSync(join(folder, '12001'), String(process.ppid))
  writeFileSync(join(folder, '12002'), String(ended))
  assert.deepEqual(
    [12_001, 12_002, 12_003, 12_003].map(port => reservePort(folder, port)),
    [false, true, true, false],
  )
  writeFileSync(join(folder, 'elsewhere'), String(ended))
  symlinkSync(join(folder, 'elsewhere'), join(folder, '12004'))
  assert.ok(reservePort(folder, 12_004))
  assert.equal(readFileSync(join(folder, 'elsewhere'), 'utf8'), String(ended), 'what a link leads to is left alone')
  assert.ok(reservePort(join(folder, '12003', 'no-folder'), 12_004), 'where nothing can be written')
})
