import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { createSecretBox } from '@sluice/runtime'
import { applyIntegrationChange, type IntegrationChange, maskedKey, type StoredIntegration } from './integration.ts'

const projectId = '0f1e2d3c-4b5a-6978-90ab-cdef12345678'
const box = createSecretBox(randomBytes(32).toString('base64'))
const put = (stored: StoredIntegration | undefined, change: Partial<IntegrationChange>) =>
  applyIntegrationChange(box, projectId, stored, { apiKey: undefined, baseUrl: undefined, ...change })
const open = (integration: StoredIntegration | undefined) =>
  integration &&
  box.open(integration.envelope, { purpose: 'integration-credential', projectId, rowId: integration.integrationId })

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
  for (const baseUrl of ['https://b.example/v1', 'http://a.example/v1', 'https://a.example:8443/v1', undefined, null])
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
