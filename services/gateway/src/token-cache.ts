import type { VerifiedToken } from './authenticate.ts'

interface Held {
  token: VerifiedToken
  bytes: number
}

interface HeldOfKey {
  hashes: Set<string>
  bytes: number
}

/** What a {@link TokenCache} may hold; of it, one key may hold a tenth. */
export interface TokenCacheLimits {
  maxEntries: number
  maxBytes: number
}

/**
 * Verified participant tokens by the SHA-256 of the whole token. Bounded in number and in bytes, for all keys and for each: whoever
 * holds a key can sign any number of tokens, and must not push those of others out. Entries of a key go when the key changes.
 */
export class TokenCache {
  readonly #byHash = new Map<string, Held>()
  readonly #ofKey = new Map<string, HeldOfKey>()
  readonly #limits: TokenCacheLimits
  #bytes = 0
  constructor(limits: TokenCacheLimits = { maxEntries: 50_000, maxBytes: 64 * 1024 * 1024 }) {
    this.#limits = limits
  }

  get size(): number {
    return this.#byHash.size
  }
  /** An estimate of the memory that the entries take. */
  get bytes(): number {
    return this.#bytes
  }
  /** How many keys have entries. */
  get keyCount(): number {
    return this.#ofKey.size
  }

  get(tokenHash: string): VerifiedToken | undefined {
    return this.#byHash.get(tokenHash)?.token
  }

  put(tokenHash: string, token: VerifiedToken): void {
    this.#delete(tokenHash)
    const bytes = estimateBytes(token)
    this.#makeRoom(token.keyId, bytes)
    this.#byHash.set(tokenHash, { token, bytes })
    this.#bytes += bytes
    const ofKey = this.#ofKey.get(token.keyId)
    if (ofKey) {
      ofKey.hashes.add(tokenHash)
      ofKey.bytes += bytes
    } else this.#ofKey.set(token.keyId, { hashes: new Set([tokenHash]), bytes })
  }

  /** Forgets every token signed with this key. */
  dropKey(keyId: string): void {
    for (const tokenHash of this.#ofKey.get(keyId)?.hashes ?? []) this.#delete(tokenHash)
  }

  /** The oldest go first: of the key beyond its share, then of all. */
  #makeRoom(keyId: string, bytes: number): void {
    const { maxEntries, maxBytes } = this.#limits
    for (const oldest of this.#ofKey.get(keyId)?.hashes ?? []) {
      const { hashes, bytes: held } = this.#ofKey.get(keyId) ?? { hashes: new Set(), bytes: 0 }
      if (hashes.size < maxEntries / 10 && held + bytes <= maxBytes / 10) break
      this.#delete(oldest)
    }
    for (const oldest of this.#byHash.keys()) {
      if (this.#byHash.size < maxEntries && this.#bytes + bytes <= maxBytes) break
      this.#delete(oldest)
    }
  }

  #delete(tokenHash: string): void {
    const held = this.#byHash.get(tokenHash)
    if (!held) return
    this.#byHash.delete(tokenHash)
    this.#bytes -= held.bytes
    const ofKey = this.#ofKey.get(held.token.keyId)
    if (!ofKey) return
    ofKey.hashes.delete(tokenHash)
    ofKey.bytes -= held.bytes
    if (ofKey.hashes.size === 0) this.#ofKey.delete(held.token.keyId)
  }
}

/** Of a token that says nothing: its hash, its identity and claims, and its places in the maps. */
const bareBytes = 1_024
/** Of a text in memory, beside its characters. */
const textBytes = 32

function estimateBytes({ claims }: VerifiedToken): number {
  const texts = [claims.name, claims.room ?? '', ...(claims.models ?? [])]
  // Two bytes a character: what is not Latin takes them.
  return texts.reduce((sum, text) => sum + textBytes + 2 * text.length, bareBytes)
}
