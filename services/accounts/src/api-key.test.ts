import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { rolePermissions } from '@sluice/contracts'
import { createSecretBox, hashCredential, parseApiKey } from '@sluice/runtime'
import { coversModel, type KeyLimits, newSecret, requireWithin } from './api-key.ts'

const projectId = '0f1e2d3c-4b5a-6978-90ab-cdef12345678'
const box = createSecretBox(randomBytes(32).toString('base64'))

test('a key holds 256 random bits, and only its own row and project open them', () => {
  const [keyId, otherId] = ['123e4567-e89b-12d3-a456-426614174000', '123e4567-e89b-12d3-a456-426614174001']
  const [first, second] = [newSecret(box, projectId, keyId), newSecret(box, projectId, otherId)]
  const parts = parseApiKey(first.value)
  assert.equal(parts?.keyId, keyId)
  assert.equal(parts.projectId, projectId)
  assert.equal(Buffer.from(parts.secret, 'base64url').length, 32)
  assert.equal(first.hash, hashCredential(first.value))
  const binding = { purpose: 'key-secret', projectId, rowId: keyId } as const
  assert.equal(box.open(first.envelope, binding), parts.secret)
  assert.throws(() => box.open(second.envelope, binding), { name: 'EnvelopeError' })
  assert.throws(() => box.open(first.envelope, { ...binding, projectId: otherId }), { name: 'EnvelopeError' })
  assert.throws(() => box.open(first.envelope, { ...binding, purpose: 'integration-credential' }), {
    name: 'EnvelopeError',
  })
})

test('a pattern covers what everything it matches is matched by', () => {
  const table: [parent: string, child: string, covers: boolean][] = [
    ['openai/gpt-5', 'openai/gpt-5', true],
    ['openai/gpt-5', 'openai/gpt-5*', false],
    ['openai/gpt-5', 'openai/gpt-5-mini', false],
    ['openai/gpt-5*', 'openai/gpt-5-mini', true],
    ['openai/gpt-5*', 'openai/gpt-5-*', true],
    ['openai/gpt-5*', 'openai/*', false],
    ['openai/*', 'anthropic/*', false],
    ['*', 'anthropic/*', true],
  ]
  for (const [parent, child, covers] of table) assert.equal(coversModel(parent, child), covers, `${parent} ${child}`)
})

test('no credential makes a stronger one', () => {
  const { member, developer, admin } = rolePermissions
  const own: KeyLimits = {
    permissions: developer,
    models: ['openai/*'],
    ipRanges: ['10.0.0.0/8'],
    expiresAtMs: 100,
  }
  requireWithin({ permissions: member, models: ['openai/gpt-5'], ipRanges: ['10.1.0.0/16'], expiresAtMs: 100 }, own)
  requireWithin(
    { permissions: admin, models: undefined, ipRanges: undefined, expiresAtMs: undefined },
    { permissions: admin, models: undefined, ipRanges: undefined, expiresAtMs: undefined },
  )
  const stronger: KeyLimits[] = [
    { ...own, permissions: admin },
    { ...own, models: undefined },
    { ...own, models: ['openai/*', 'anthropic/*'] },
    { ...own, ipRanges: undefined },
    { ...own, ipRanges: ['10.0.0.0/8', '192.0.2.1'] },
    { ...own, expiresAtMs: undefined },
    { ...own, expiresAtMs: 101 },
  ]
  for (const wanted of stronger) assert.throws(() => requireWithin(wanted, own), { statusCode: 403 })
})
