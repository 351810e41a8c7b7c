import { hkdfSync } from 'node:crypto'
import { decrypt, encrypt, readMasterKey } from './envelope.ts'

/** Seals what we hand out and get back: nobody else can read, make or change it. */
export interface TokenBox {
  /** Canonical base64url. */
  seal: (content: string) => string
  /** Undefined where it was not sealed here: changed, spelt otherwise, or under another master key. */
  open: (token: string) => string | undefined
}

/**
 * AES-256-GCM under a key of its own (HKDF-SHA-256, one label per purpose) from the master key.
 * @throws EnvelopeError for a master key of another length than 32 bytes
 */
export function createTokenBox(masterKey: string, purpose: 'realtime-client-secret' | 'sign-in-device'): TokenBox {
  const key = Buffer.from(hkdfSync('sha256', readMasterKey(masterKey), '', `sluice ${purpose}`, 32))
  const additional = Buffer.from(JSON.stringify([1, purpose]))
  return {
    seal: content => encrypt(key, Buffer.from(content, 'utf8'), additional).toString('base64url'),
    open(token) {
      const sealed = Buffer.from(token, 'base64url')
      // A second spelling of the same bytes is another token.
      if (sealed.toString('base64url') !== token) return undefined
      try {
        return decrypt(key, sealed, additional).toString('utf8')
      } catch {
        return undefined
      }
    },
  }
}
