import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { createLogger } from '@sluice/runtime'
import { Adopter, type AdopterDeps, endPastEpochs } from './adopt.ts'
import { beginEpoch } from './gateway-identity.ts'

test('a root that cannot be read ends nobody: it is looked at again', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-adopt-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const root = join(folder, 'journals')
  writeFileSync(root, 'a file, no folder')
  const errors: unknown[] = []
  const log = createLogger('gateway', 'silent')
  log.error = (fields: unknown) => void errors.push(fields)
  const unused = (): never => assert.fail('nothing is adopted')
  const deps: AdopterDeps = {
    root,
    own: join(folder, 'own'),
    publisher: { follow: unused },
    gatewayPublisher: { hello: unused, epochClosed: unused },
    findMark: unused,
    gatewayId: 'gw_1',
    rate: unused,
    onAdopted: unused,
    log,
  }
  const adopter = new Adopter(deps)
  await adopter.look()
  await adopter.look()
  assert.equal(errors.length, 2)
  await adopter.close()
})

test('a run of which no record is left has ended too, without leases', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-adopt-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const { gatewayId } = beginEpoch(folder)
  writeFileSync(join(folder, '0000000001-0000000001.journal'), '')
  const deps = {
    rate: () => assert.fail('nothing is rated'),
    gatewayId: 'gw_2',
    log: createLogger('gateway', 'silent'),
  }
  const [ended] = await endPastEpochs(deps, folder, () => true)
  assert.deepEqual([ended?.gatewayId, ended?.epoch, ended?.leases], [gatewayId, 1, []])
  assert.ok(ended?.last.every(number => number === 0))
})
