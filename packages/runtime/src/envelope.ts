import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto'
import type { Envelope } from '@sluice/contracts'

/** What a secret is for and whose row it is in: all of it is bound to the ciphertext. */
export interface EnvelopeBinding {
  purpose:
    | 'key-secret'
    | 'integration-credential'
    | 'integration-headers'
    | 'otel-headers'
    | 'kept-answer'
    | 'webhook-secret'
  /** Of what belongs to no project: the account. */
  projectId: string
  /** Id of the row (key id, integration id). */
  rowId: string
}

/** Thrown where a ciphertext does not belong to this row, purpose or master key, or was changed. */
export class EnvelopeError extends Error {
  override name = 'EnvelopeError'
}

/** Seals and opens secrets under one key: accounts and gateways hold the master key, budget one of its own. */
export interface SecretBox {
  seal: (plaintext: string, binding: EnvelopeBinding) => Envelope
  open: (envelope: Envelope, binding: EnvelopeBinding) => string
}

const algorithm = 'aes-256-gcm'
const nonceBytes = 12
const tagBytes = 16

/**
 * AES-256-GCM envelopes: a random data key per secret, wrapped by a key derived (HKDF-SHA-256, one label per purpose) from
 * the master key. The binding is the additional data of both layers, so a ciphertext moved to another row, project or
 * purpose does not open.
 * @param masterKey base64 or base64url of exactly 32 bytes
 * @throws EnvelopeError for a master key of another length
 */
export function createSecretBox(masterKey: string): SecretBox {
  const master = readMasterKey(masterKey)
  const kid = createHash('sha256').update('sluice master key id').update(master).digest('base64url').slice(0, 12)
  const wrappingKeys = new Map<string, Buffer>()
  const wrappingKeyOf = (purpose: string): Buffer => {
    let key = wrappingKeys.get(purpose)
    if (!key) {
      key = Buffer.from(hkdfSync('sha256', master, '', `sluice ${purpose}`, 32))
      wrappingKeys.set(purpose, key)
    }
    return key
  }

  return {
    seal(plaintext, binding) {
      const additional = additionalData(binding, kid)
      const dataKey = randomBytes(32)
      const sealed = encrypt(dataKey, Buffer.from(plaintext, 'utf8'), additional)
      return {
        v: 1,
        kid,
        wrapped_key: encrypt(wrappingKeyOf(binding.purpose), dataKey, additional).toString('base64url'),
        nonce: sealed.subarray(0, nonceBytes).toString('base64url'),
        ciphertext: sealed.subarray(nonceBytes).toString('base64url'),
      }
    },
    open(envelope, binding) {
      if (envelope.kid !== kid)
        throw new EnvelopeError(`sealed under master key ${envelope.kid}, this process holds ${kid}`)
      const additional = additionalData(binding, kid)
      try {
        const dataKey = decrypt(
          wrappingKeyOf(binding.purpose),
          Buffer.from(envelope.wrapped_key, 'base64url'),
          additional,
        )
        const sealed = Buffer.concat([
          Buffer.from(envelope.nonce, 'base64url'),
          Buffer.from(envelope.ciphertext, 'base64url'),
        ])
        return decrypt(dataKey, sealed, additional).toString('utf8')
      } catch (cause) {
        throw new EnvelopeError(
          `the ${binding.purpose} of ${binding.rowId} does not open: changed, or moved from another row`,
          { cause },
        )
      }
    },
  }
}

function additionalData(binding: EnvelopeBinding, kid: string): Buffer {
  return Buffer.from(JSON.stringify([1, kid, binding.purpose, binding.projectId, binding.rowId]))
}

/** @throws EnvelopeError for a master key of another length */
export function readMasterKey(masterKey: string): Buffer {
  const master = Buffer.from(masterKey, 'base64url')
  if (master.length !== 32)
    throw new EnvelopeError('SLUICE_MASTER_KEY must be 32 bytes in base64; make one with: openssl rand -base64 32')
  return master
}

/** nonce | ciphertext | tag */
export function encrypt(key: Buffer, plaintext: Buffer, additional: Buffer): Buffer {
  const nonce = randomBytes(nonceBytes)
  const cipher = createCipheriv(algorithm, key, nonce, { authTagLength: tagBytes }).setAAD(additional)
  return Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
}

/** @throws where anything of it was changed */
export function decrypt(key: Buffer, sealed: Buffer, additional: Buffer): Buffer {
  if (sealed.length < nonceBytes + tagBytes) throw new EnvelopeError('too short')
  const decipher = createDecipheriv(algorithm, key, sealed.subarray(0, nonceBytes), { authTagLength: tagBytes })
  decipher.setAAD(additional).setAuthTag(sealed.subarray(-tagBytes))
  return Buffer.concat([decipher.update(sealed.subarray(nonceBytes, -tagBytes)), decipher.final()])
}
