import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { createSecretBox, EnvelopeError } from './envelope.ts'

const box = createSecretBox(randomBytes(32).toString('base64'))
const binding = { purpose: 'key-secret', projectId: 'p1', rowId: 'k1' } as const

test('a sealed secret opens in its own row', () => {
  assert.equal(box.open(box.seal('sesame', binding), binding), 'sesame')
})

test('a ciphertext moved to another row, project or purpose does not open', () => {
  const sealed = box.seal('sesame', binding)
  for (const other of [
    { ...binding, rowId: 'k2' },
    { ...binding, projectId: 'p2' },
    { ...binding, purpose: 'integration-credential' as const },
  ]) {
    assert.throws(() => box.open(sealed, other), EnvelopeError)
  }
})

test('a changed ciphertext, nonce or wrapped key does not open', () => {
  const sealed = box.seal('sesame', binding)
  for (const part of ['ciphertext', 'nonce', 'wrapped_key'] as const) {
    const flipped = (sealed[part].startsWith('A') ? 'B' : 'A') + sealed[part].slice(1)
    assert.throws(() => box.open({ ...sealed, [part]: flipped }, binding), EnvelopeError)
  }
})

test('another master key does not open it, and says which key sealed it', () => {
  const sealed = box.seal('sesame', binding)
  const other = createSecretBox(randomBytes(32).toString('base64'))
  assert.throws(() => other.open(sealed, binding), /sealed under master key/)
})
