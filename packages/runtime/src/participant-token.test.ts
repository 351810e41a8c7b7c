import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { test } from 'node:test'
import {
  looksLikeJwt,
  readKeyId,
  requireOwnMember,
  signParticipantToken,
  TokenError,
  verifyParticipantToken,
} from './participant-token.ts'

const secret = Buffer.from('super-secret')
const keyId = '123e4567-e89b-12d3-a456-426614174000'
const projectId = '0f1e2d3c-4b5a-6978-90ab-cdef12345678'
const claims = {
  name: 'x',
  sub: projectId,
  kid: keyId,
  version: '0.39.9',
  grants: [
    { name: 'api', scope: { llm: {} } },
    { name: 'room', scope: 'lobby' },
  ],
}
const encode = (value: unknown) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

function sign(payload: unknown, header: unknown = { alg: 'HS256', typ: 'JWT' }, key: Uint8Array = secret): string {
  const input = `${encode(header)}.${encode(payload)}`
  return `${input}.${createHmac('sha256', key).update(input).digest('base64url')}`
}

test('a token signed with the secret of its key is read', async () => {
  const token = sign(claims)
  assert.ok(looksLikeJwt(token))
  assert.equal(readKeyId(token), keyId)
  assert.deepEqual(await verifyParticipantToken(token, [secret], 0), {
    keyId,
    projectId,
    name: 'x',
    room: 'lobby',
    models: null,
    memberId: undefined,
    expiresAtMs: undefined,
    signedBy: 0,
    payload: claims,
  })
})

test('what is signed here is read again, with the header and claims of MeshAgent’s clients', async () => {
  const grants = [{ name: 'api', scope: { llm: {} } }]
  const wanted = { name: 'x', grants, keyId, projectId, memberId: 'mem_01', expiresAtMs: 5_999 }
  const token = await signParticipantToken(wanted, secret)
  assert.equal(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString(), '{"alg":"HS256","typ":"JWT"}')
  const read = await verifyParticipantToken(token, [secret], 4_999)
  assert.deepEqual([read.keyId, read.projectId, read.name, read.memberId], [keyId, projectId, 'x', 'mem_01'])
  assert.deepEqual([read.models, read.expiresAtMs], [null, 5_000])
  await assert.rejects(verifyParticipantToken(token, [secret], 5_000), /expired/)
})

test('a member is believed of a system key of theirs alone', () => {
  const believed = (memberId: string | undefined, signer: { system?: true; member_id?: string }): boolean => {
    try {
      requireOwnMember({ memberId }, signer)
      return true
    } catch (error) {
      assert.ok(error instanceof TokenError)
      return false
    }
  }
  const own = { system: true, member_id: 'mem_01' } as const
  assert.ok(believed('mem_01', own))
  assert.ok(believed(undefined, { system: true }))
  assert.ok(believed(undefined, { member_id: 'mem_01' }))
  for (const [memberId, signer] of [
    ['mem_01', { member_id: 'mem_01' }],
    ['mem_01', {}],
    ['mem_02', own],
    [undefined, own],
    ['mem_01', { system: true }],
    ['', own],
  ] as const)
    assert.ok(!believed(memberId, signer), String(memberId))
})

test('either secret of a rotated key verifies', async () => {
  const verified = await verifyParticipantToken(sign(claims), [Buffer.from('new'), secret], 0)
  assert.deepEqual([verified.name, verified.signedBy], ['x', 1])
})

test('the LLM grant says which models, and its absence that there are none', async () => {
  const modelsOf = async (grants: unknown) =>
    (await verifyParticipantToken(sign({ ...claims, grants }), [secret], 0)).models
  assert.equal(await modelsOf([]), undefined)
  assert.equal(await modelsOf([{ name: 'api', scope: { livekit: {} } }]), undefined)
  assert.deepEqual(await modelsOf([{ name: 'api', scope: { llm: { models: [] } } }]), [])
  assert.deepEqual(await modelsOf([{ name: 'api', scope: { llm: { models: ['openai/gpt-*'] } } }]), ['openai/gpt-*'])
})

test('an expired token is refused, one that expires later is not', async () => {
  await assert.rejects(verifyParticipantToken(sign({ ...claims, exp: 100 }), [secret], 100_000), /expired/)
  assert.equal((await verifyParticipantToken(sign({ ...claims, exp: 101 }), [secret], 100_000)).expiresAtMs, 101_000)
})

test('no forged, altered or oddly written token passes', async () => {
  const good = sign(claims)
  const [header = '', payload = '', signature = ''] = good.split('.')
  const lastChar = signature.slice(-1)
  // The last character carries four bits of the signature and two that are nobody's: other values of those two are a second spelling.
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const respelled = alphabet[alphabet.indexOf(lastChar) ^ 1] ?? ''
  const forged = [
    sign(claims, { alg: 'HS256', typ: 'JWT' }, Buffer.from('other')),
    sign(claims, { alg: 'none' }),
    `${encode({ alg: 'none', typ: 'JWT' })}.${payload}.`,
    sign(claims, { alg: 'nOnE', typ: 'JWT' }),
    sign(claims, { alg: 'HS512', typ: 'JWT' }),
    sign(claims, { alg: 'HS256', typ: 'JWT', kid: keyId }),
    sign(claims, { alg: 'HS256', typ: 'JWT', jku: 'https://example.com' }),
    sign(claims, { alg: 'HS256', typ: 'JWT', crit: ['b64'], b64: false }),
    sign({ ...claims, exp: '99999999999' }),
    sign({ ...claims, name: '' }),
    sign({ ...claims, grants: {} }),
    sign({ ...claims, grants: [...claims.grants, { name: 'room', scope: 'other' }] }),
    sign('null'),
    sign('[1]'),
    sign(`{"sub":"other",${JSON.stringify(claims).slice(1)}`),
    sign(claims, '{"alg":"none","alg":"HS256"}'),
    sign(`\ufeff${JSON.stringify(claims)}`),
    sign(JSON.stringify(claims).replace('"scope":"lobby"', '"scope":"lobby","scope":"other"')),
    `${header}.${payload}=.${signature}`,
    `${header}.${payload}.${signature.slice(0, -1)}${respelled}`,
    `${header}.${payload}.`,
    `${header}.${payload}`,
  ]
  for (const [index, token] of forged.entries()) {
    await assert.rejects(async () => verifyParticipantToken(token, [secret], 0), TokenError, `case ${index}`)
  }
})
