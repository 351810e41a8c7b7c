import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { createSecretBox } from '@sluice/runtime'
import { applyIntegration, type IntegrationRequest, maskedKey, type StoredIntegration } from './integration.ts'

const projectId = '0f1e2d3c-4b5a-6978-90ab-cdef12345678'
const box = createSecretBox(randomBytes(32).toString('base64'))
const plain = {
  name: 'default',
  teamId: null,
  standby: false,
  credentialFrom: null,
  headers: {},
  organization: null,
  providerProject: null,
}
const put = (stored: StoredIntegration | undefined, change: Partial<IntegrationRequest>) =>
  applyIntegration(
    box,
    projectId,
    'openai',
    stored,
    { ...plain, apiKey: undefined, baseUrl: null, ...change },
    new Date(0),
  )
const open = (integration: StoredIntegration | undefined) =>
  integration?.envelope &&
  box.open(integration.envelope, { purpose: 'integration-credential', projectId, rowId: integration.integrationId })
const headersOf = (integration: StoredIntegration | undefined) =>
  integration?.headersEnvelope &&
  JSON.parse(
    box.open(integration.headersEnvelope, {
      purpose: 'integration-headers',
      projectId,
      rowId: integration.integrationId,
    }),
  )

test('a key is sealed for its integration and shown by its last characters alone', () => {
  const stored = put(undefined, { apiKey: 'sk-live-0123456789abcd' })
  assert.ok(stored)
  assert.equal(open(stored), 'sk-live-0123456789abcd')
  assert.equal(maskedKey(stored), '****abcd')
  const short = put(undefined, { apiKey: 'sk-short' })
  assert.ok(short)
  assert.equal(maskedKey(short), '****')
})

test('a key that is not sent, or sent as it is shown, stays', () => {
  const stored = put(undefined, { apiKey: 'sk-live-0123456789abcd', baseUrl: 'https://a.example/v1' })
  assert.equal(open(put(stored, { baseUrl: 'https://a.example/openai/v1' })), 'sk-live-0123456789abcd')
  assert.equal(open(put(stored, { baseUrl: 'https://a.example/v1', apiKey: '****abcd' })), 'sk-live-0123456789abcd')
})

test('a stored key never follows to another host', () => {
  const stored = put(undefined, { apiKey: 'sk-live-0123456789abcd', baseUrl: 'https://a.example/v1' })
  for (const baseUrl of ['https://b.example/v1', 'http://a.example/v1', 'https://a.example:8443/v1', null])
    assert.throws(() => put(stored, { baseUrl }), { statusCode: 400 })
  assert.equal(
    open(put(stored, { baseUrl: 'https://b.example/v1', apiKey: 'sk-other-0123456789ab' })),
    'sk-other-0123456789ab',
  )
})

test('an address without a key has a credential that is none, so that a managed one is never sent to it', () => {
  const stored = put(undefined, { baseUrl: 'https://a.example/v1' })
  assert.ok(stored)
  assert.equal(open(stored), 'none')
  assert.equal(maskedKey(stored), null)
  assert.equal(open(put(stored, { baseUrl: 'https://b.example/v1' })), 'none')
})

test('nothing left is nothing stored', () => {
  assert.equal(put(undefined, {}), undefined)
  assert.equal(put(put(undefined, { apiKey: 'sk-live-0123456789abcd' }), { apiKey: null }), undefined)
})

test('headers are sealed apart, kept where they are sent as shown, and follow to no other host', () => {
  const stored = put(undefined, { baseUrl: 'https://a.example/v1', headers: { 'x-b': 'two', 'x-a': 'one' } })
  assert.deepEqual(stored?.headerNames, ['x-a', 'x-b'])
  assert.deepEqual(headersOf(stored), { 'x-a': 'one', 'x-b': 'two' })
  const changed = put(stored, { baseUrl: 'https://a.example/v2', headers: { 'x-a': '****', 'x-c': 'three' } })
  assert.deepEqual(headersOf(changed), { 'x-a': 'one', 'x-c': 'three' })
  assert.throws(() => put(stored, { baseUrl: 'https://b.example/v1', headers: { 'x-a': '****' } }), { statusCode: 400 })
  assert.deepEqual(headersOf(put(stored, { baseUrl: 'https://b.example/v1', headers: { 'x-a': 'new' } })), {
    'x-a': 'new',
  })
  assert.throws(() => put(stored, { baseUrl: 'https://a.example/v1', headers: { 'x-z': '****' } }), { statusCode: 400 })
})

test('a credential that stands elsewhere replaces a stored one, and is not sent beside one', () => {
  const stored = put(undefined, { apiKey: 'sk-live-0123456789abcd' })
  const credentialFrom = { env: 'GATEWAY_CREDENTIAL_MAIN' }
  const elsewhere = put(stored, { credentialFrom })
  assert.deepEqual([elsewhere?.envelope, elsewhere?.apiKeyHint], [null, null])
  assert.throws(() => put(stored, { credentialFrom, apiKey: 'sk-other-0123456789ab' }), { statusCode: 400 })
  assert.equal(put(elsewhere, {}), undefined, 'nothing comes back of what was replaced')
})
