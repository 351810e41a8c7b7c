import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { type ClientSecretGrant, createClientSecretBox } from './client-secret.ts'

const grant: ClientSecretGrant = {
  identity: {
    account_id: 'account-of-the-caller',
    project_id: '0190a6a0-0000-7000-8000-000000000001',
    team_id: 'unassigned',
    key_id: '0190a6a0-0000-7000-8000-000000000002',
    credential_kind: 'key',
  },
  keyHash: 'a'.repeat(64),
  opensUntilMs: 1_900_000_000_000,
  model: 'gpt-realtime',
  transcriptionModels: ['whisper-1'],
  providerSecret: 'ek_of-the-provider',
  upstream: 'managed https://provider.example/v1',
}
const box = createClientSecretBox(randomBytes(32).toString('base64'))

test('a client secret opens to what was sealed, tells nothing of it, and is another one each time', () => {
  const secret = box.seal(grant)
  assert.match(secret, /^ek_[\w-]+$/)
  assert.deepEqual(box.open(secret), grant)
  const content = Buffer.from(secret.slice(3), 'base64url').toString('latin1')
  for (const hidden of ['provider', 'gpt-realtime', 'account', 'aaaa']) assert.ok(!content.includes(hidden))
  assert.notEqual(box.seal(grant), secret)
})

test('a client secret of which any character is another, missing or added does not open', () => {
  const secret = box.seal(grant)
  for (let at = 0; at < secret.length; at++) {
    for (const other of new Set(['A', '_', secret[at] === 'B' ? 'C' : 'B'])) {
      if (other === secret[at]) continue
      assert.equal(box.open(secret.slice(0, at) + other + secret.slice(at + 1)), undefined, `changed at ${at}`)
    }
    assert.equal(box.open(secret.slice(0, at) + secret.slice(at + 1)), undefined, `short of ${at}`)
  }
  for (const added of [`${secret}A`, `${secret}=`, `${secret} `, secret.slice(3), 'ek_', '']) {
    assert.equal(box.open(added), undefined)
  }
})

test('a client secret of another installation does not open', () => {
  assert.equal(createClientSecretBox(randomBytes(32).toString('base64')).open(box.seal(grant)), undefined)
})
