import type { CallIdentity } from '@sluice/contracts'
import { createTokenBox } from '@sluice/runtime'

/** What a client secret says, to nobody but this installation. */
export interface ClientSecretGrant {
  /** Of whoever made it: what is used with it counts as theirs. */
  identity: CallIdentity
  /** Hash of the key that it was made with; absent where a participant token was. */
  keyHash?: string
  /** When the creator's own credential ends; absent: never. */
  creatorUntilMs?: number
  /** From then on it begins no session; those that run go on. */
  opensUntilMs: number
  /** Absent: sessions that only write down what they hear. */
  model?: string
  /** Models that write down what is heard. */
  transcriptionModels: string[]
  /** The provider's own secret, which carries the session as it was set. */
  providerSecret: string
  /** Whose it is: the address and the access that were asked for it. */
  upstream: string
}

/** Seals grants into client secrets, and opens them again. */
export interface ClientSecretBox {
  seal: (grant: ClientSecretGrant) => string
  /** Undefined for everything that was not sealed here, byte for byte. */
  open: (secret: string) => ClientSecretGrant | undefined
}

/** The beginning of a provider's own, by which clients tell it from a key. */
const prefix = 'ek_'
const maxLength = 8_192

export function createClientSecretBox(masterKey: string): ClientSecretBox {
  const box = createTokenBox(masterKey, 'realtime-client-secret')
  return {
    seal: grant => `${prefix}${box.seal(JSON.stringify(grant))}`,
    open(secret) {
      if (!looksLikeClientSecret(secret) || secret.length > maxLength) return undefined
      const content = box.open(secret.slice(prefix.length))
      return content === undefined ? undefined : (JSON.parse(content) as ClientSecretGrant)
    },
  }
}

export function looksLikeClientSecret(credential: string): boolean {
  return credential.startsWith(prefix)
}
