import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { test } from 'node:test'
import type { Key, Project } from '@sluice/contracts'
import { type AuthenticateDeps, authenticate, type VerifiedToken } from './authenticate.ts'
import { readHeaders } from './request-headers.ts'
import { TokenCache } from './token-cache.ts'
import type { ActiveKey } from './views/keys-view.ts'

function tokenOf(keyId: string, models: readonly string[] | null = null): VerifiedToken {
  const identity = { account_id: 'a', project_id: 'p', team_id: 't', credential_kind: 'participant_token' } as const
  const claims = { keyId, projectId: 'p', name: 'x', room: undefined, models, memberId: undefined, signedBy: 0 }
  return {
    keyId,
    secretHash: 'h',
    claims: { ...claims, expiresAtMs: undefined },
    identity,
    models,
    expiresAtMs: Infinity,
  }
}

test('one key holds a tenth of the verified tokens at most, and pushes out none of another', () => {
  const cache = new TokenCache({ maxEntries: 100, maxBytes: 2 ** 30 })
  cache.put('other', tokenOf('key_other'))
  for (let i = 0; i < 500; i++) cache.put(`mine_${i}`, tokenOf('key_mine'))
  assert.ok(cache.get('other'))
  assert.equal(cache.size, 11)
  assert.ok(cache.get('mine_499'))
  assert.equal(cache.get('mine_489'), undefined, 'the oldest have gone')
})

test('verified tokens are bounded by their bytes, of one key and of all', () => {
  const maxBytes = 1_000_000
  const cache = new TokenCache({ maxEntries: 50_000, maxBytes })
  const models = Array.from({ length: 100 }, (_, i) => `openai/a-model-of-a-long-name-${i}`)
  for (let i = 0; i < 200; i++) cache.put(`one_${i}`, tokenOf('key_one', models))
  assert.ok(cache.bytes <= maxBytes / 10, `${cache.bytes} bytes of one key`)
  assert.ok(cache.get('one_199'))
  for (let key = 0; key < 50; key++)
    for (let i = 0; i < 20; i++) cache.put(`${key}_${i}`, tokenOf(`key_${key}`, models))
  assert.ok(cache.bytes <= maxBytes, `${cache.bytes} bytes of all`)
  assert.ok(cache.bytes > maxBytes / 2, 'room is used')
})

test('nothing is left of a key whose tokens have gone, whichever way they went', () => {
  const cache = new TokenCache({ maxEntries: 10, maxBytes: 2 ** 30 })
  for (let i = 0; i < 1_000; i++) cache.put(`hash_${i}`, tokenOf(`key_${i}`))
  assert.deepEqual([cache.size, cache.keyCount], [10, 10], 'pushed out')
  cache.put('hash_999', tokenOf('key_999'))
  assert.equal(cache.size, 10, 'verified twice at once')
  for (let i = 0; i < 1_000; i++) cache.dropKey(`key_${i}`)
  assert.deepEqual([cache.size, cache.keyCount, cache.bytes], [0, 0, 0])
})

test('of a verified token with many grants no grant is kept', async () => {
  const key = {
    key_id: 'key_1',
    account_id: 'a',
    project_id: 'p',
    version: 1,
    secrets: [{ hash: 'h' }],
  } as unknown as Key
  const identity = { account_id: 'a', project_id: 'p', team_id: 'unassigned', key_id: 'key_1', credential_kind: 'key' }
  const active = { key, identity, mayCall: true } as unknown as ActiveKey
  const secret = Buffer.from('secret of a key')
  const tokens = new TokenCache()
  const deps = {
    keys: { findById: () => active, secretsOf: () => [{ hash: 'h', bytes: secret, expiresAtMs: Infinity }] },
    projects: { find: () => ({ project_id: 'p', name: 'P', teams: [] }) as unknown as Project },
    rooms: {},
    tokens,
    trustedProxies: [],
  } as unknown as AuthenticateDeps
  const grants = [{ name: 'api', scope: { llm: {} } }, ...Array.from({ length: 1_500 }, () => ({}))]
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const signed = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ name: 'x', version: '0.39.9', kid: 'key_1', sub: 'p', grants })}`
  const token = `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`
  const principal = await authenticate(deps, readHeaders(['authorization', `Bearer ${token}`]), undefined, 0)
  assert.ok(tokens.size === 1 && principal.token)
  assert.ok(JSON.stringify(principal.token).length < 1_000, 'what is kept')
})
