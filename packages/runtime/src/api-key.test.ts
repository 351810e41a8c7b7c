import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatApiKey, parseApiKey } from './api-key.ts'

const parts = {
  keyId: '123e4567-e89b-12d3-a456-426614174000',
  projectId: '0f1e2d3c-4b5a-6978-90ab-cdef12345678',
  secret: 'super-secret',
}
const text = 'ma-Ej5FZ.ibEtOkVkJmFBdAAA-Dx4tPEtaaXiQq83vEjRWeA-super-secret'

test('a key has the form that MeshAgent clients write and read', () => {
  assert.equal(formatApiKey(parts), text)
  assert.deepEqual(parseApiKey(text), parts)
})

test('a UUID whose base64url is all dashes is written with dots', () => {
  const keyId = 'fbefbefb-efbe-fbef-befb-efbefbefbefb'
  const written = formatApiKey({ ...parts, keyId })
  assert.ok(written.startsWith(`ma-${'.'.repeat(21)}w-`))
  assert.equal(parseApiKey(written)?.keyId, keyId)
})

test('what is no key is refused, also a second spelling of the same bytes', () => {
  for (const wrong of [
    '',
    'ma-',
    'sk-abc',
    'ma-x-y-z',
    text.slice(0, 49),
    text.replace('AAA-', 'AAB-'),
    text.replace('Ej5', 'Ej-'),
  ]) {
    assert.equal(parseApiKey(wrong), undefined, wrong)
  }
})
