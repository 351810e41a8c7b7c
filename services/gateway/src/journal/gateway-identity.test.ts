import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { beginEpoch } from './gateway-identity.ts'
import { segmentPath } from './segment.ts'

function volumeOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-identity-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return join(folder, 'journal')
}

test('an empty volume under an old name is a new gateway: its runs fence no other’s, and end none of its leases', t => {
  const directory = volumeOf(t)
  mkdirSync(directory)
  const first = beginEpoch(directory)
  assert.deepEqual(beginEpoch(directory), { gatewayId: first.gatewayId, epoch: 2 })
  rmSync(directory, { recursive: true })
  mkdirSync(directory)
  const fresh = beginEpoch(directory)
  assert.notEqual(fresh.gatewayId, first.gatewayId)
  assert.equal(fresh.epoch, 1)
})

test('where the file of its epoch is older than its segments, no run has the epoch of one that was numbered', t => {
  const directory = volumeOf(t)
  mkdirSync(directory)
  const { gatewayId } = beginEpoch(directory)
  writeFileSync(segmentPath(directory, 7, 1), '')
  assert.deepEqual(beginEpoch(directory), { gatewayId, epoch: 8 })
  rmSync(join(directory, 'gateway-id'))
  assert.notEqual(beginEpoch(directory).gatewayId, gatewayId, 'nobody can tell whose it is')
})
