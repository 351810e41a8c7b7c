import assert from 'node:assert/strict'
import { randomBytes, randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { Key } from '@sluice/contracts'
import { PackedKeys } from './packed-keys.ts'

const project = { account_id: 'acct_1', project_id: randomUUID() }
const unused = { usedAtMs: 0, toldAtMs: 0 }

function secret(extra: object = {}): Key['secrets'][number] {
  const envelope = {
    v: 1,
    kid: 'Zm9vYmFyYmF6',
    wrapped_key: randomBytes(60).toString('base64url'),
    nonce: randomBytes(12).toString('base64url'),
    ciphertext: randomBytes(59).toString('base64url'),
  } as const
  return { secret_id: `sec_${randomUUID()}`, hash: randomBytes(32).toString('hex'), envelope, ...extra }
}

function keyOf(extra: Partial<Key> = {}): Key {
  return Key.check({
    ...project,
    key_id: randomUUID(),
    version: 1,
    name: 'ci',
    role: 'member',
    secrets: [secret()],
    ...extra,
  })
}

test('a key is what its document says, however it is held', () => {
  const packed = new PackedKeys()
  const { envelope: _, ...foreign } = secret()
  for (const key of [
    keyOf(),
    keyOf({
      version: 7,
      team_id: 'team_1',
      models: ['openai/*'],
      ip_ranges: ['10.0.0.0/8'],
      expires_at_ms: 1_900_000_000_000,
    }),
    keyOf({
      member_id: 'mem_1',
      permissions: ['llm:invoke'],
      member_team_ids: ['team_1', 'team_2'],
      member_default_team_id: 'team_2',
      secrets: [secret(), secret({ expires_at_ms: 1_900_000_000_000 })],
    }),
    keyOf({ service_account_id: 'sa_1', permissions: [], name: 'Schlüssel "1"' }),
    keyOf({ system: true, secrets: [] }),
    keyOf({ secrets: [foreign] }),
  ])
    assert.deepEqual(packed.pack(key, unused).key, key)
})

test('what a call carries comes from its key, and stays the same object while the key is read', () => {
  const packed = new PackedKeys()
  const held = packed.pack(keyOf({ member_id: 'mem_1', member_team_ids: ['team_1'], permissions: [] }), unused)
  assert.deepEqual(held.identity, {
    ...project,
    team_id: 'unassigned',
    member_id: 'mem_1',
    key_id: held.keyId,
    credential_kind: 'key',
  })
  assert.equal(held.identity, held.identity)
  assert.deepEqual(held.memberTeams, ['team_1'])
  assert.equal(held.mayCall, false)
  assert.equal(
    packed.pack(keyOf({ team_id: 'team_1', member_id: 'mem_1', member_team_ids: ['team_1'] }), unused).memberTeams,
    undefined,
  )
})

test('those read last stay read, no more of them than it says', () => {
  const packed = new PackedKeys(2)
  const [first, ...others] = [keyOf(), keyOf(), keyOf()].map(key => packed.pack(key, unused))
  const read = first?.key
  assert.equal(first?.key, read)
  for (const held of others) assert.ok(held.key)
  assert.equal(packed.unpackedCount, 2)
  assert.notEqual(first?.key, read)
  assert.deepEqual(first?.key, read)
})

test('what keys have in common is held once, and for as long as one of them has it', () => {
  const packed = new PackedKeys()
  const held = [keyOf(), keyOf(), keyOf({ team_id: 'team_1' })].map(key => packed.pack(key, unused))
  assert.equal(packed.sharedCount, 2)
  for (const { key } of held) assert.ok(key)
  for (const one of held.splice(0, 2)) packed.drop(one)
  assert.equal(packed.sharedCount, 1)
  for (const one of held) packed.drop(one)
  assert.equal(packed.sharedCount, 0)
  assert.equal(packed.unpackedCount, 0)
})
