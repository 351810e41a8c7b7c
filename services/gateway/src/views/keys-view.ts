import { type Bus, followBucket } from '@sluice/bus'
import { type CallIdentity, Key } from '@sluice/contracts'
import type { Logger, SecretBox } from '@sluice/runtime'
import { type PackedKey, PackedKeys } from './packed-keys.ts'

/** A key that may be used now, with what its calls carry prepared. */
export interface ActiveKey {
  readonly key: Key
  /** What every call with this key itself carries; calls with its participant tokens add room and participant. */
  readonly identity: CallIdentity
  /** Teams that its member's calls may ask to pay; undefined where the key has a team of its own. */
  readonly memberTeams: readonly string[] | undefined
  /** When a call of it was let in last; 0: not since this gateway began. */
  usedAtMs: number
  /** The last such time that accounts has been told. */
  toldAtMs: number
  /** False: whose key it is may not call providers now, and that may change back. */
  readonly mayCall: boolean
}

/** A secret of a key as it signs tokens. */
export interface SigningSecret {
  /** By which the key has it: the SHA-256 of the whole key string. */
  hash: string
  bytes: Buffer
  expiresAtMs: number
}

/**
 * The keys of all projects, in memory, from KV `keys`. A change is here within milliseconds of its commit; while NATS is
 * away the view goes stale, and after `SLUICE_MAX_VIEW_AGE` calls are refused.
 */
export interface KeysView {
  /** By the SHA-256 of the whole key string, either secret of a rotated key. */
  findByHash: (sha256Hex: string) => ActiveKey | undefined
  findById: (keyId: string) => ActiveKey | undefined
  /** The secrets that sign participant tokens of this key, opened; newest first. */
  secretsOf: (key: Key, nowMs: number) => SigningSecret[]
  /** Keys that have been used since accounts was told. */
  usedUntold: () => ActiveKey[]
  freshAtMs: () => number
  readonly size: number
  close: () => Promise<void>
}

export interface KeysViewOptions {
  secretBox: SecretBox
  /** Called after a key was revoked, changed, suspended or deleted. */
  onChange: (keyId: string, usable: boolean) => void
  log: Logger
}

export async function followKeys(bus: Bus, options: KeysViewOptions): Promise<KeysView> {
  const packed = new PackedKeys()
  const byHash = new Map<string, PackedKey>()
  const byId = new Map<string, PackedKey>()
  const opened = new Map<string, SigningSecret[]>()

  const forget = (keyId: string): void => {
    const old = byId.get(keyId)
    if (!old) return
    for (const hash of old.hashes) byHash.delete(hash)
    byId.delete(keyId)
    opened.delete(keyId)
    packed.drop(old)
  }

  const view = await followBucket(bus, 'keys', Key, {
    log: options.log,
    keep: false,
    onChange: (keyId, key) => {
      const { usedAtMs = 0, toldAtMs = 0 } = byId.get(keyId) ?? {}
      forget(keyId)
      if (key?.key_id === keyId && key.revoked_at_ms === undefined) {
        const held = packed.pack(key, { usedAtMs, toldAtMs })
        // The id that the document has: the name of the bucket's entry is a piece of a longer text, which would be kept with it.
        byId.set(held.keyId, held)
        for (const hash of held.hashes) byHash.set(hash, held)
      }
      options.onChange(keyId, byId.get(keyId)?.mayCall === true)
    },
  })

  return {
    findByHash: hash => byHash.get(hash),
    findById: keyId => byId.get(keyId),
    secretsOf: (key, nowMs) => {
      let secrets = opened.get(key.key_id)
      if (!secrets) {
        const binding = { purpose: 'key-secret', projectId: key.project_id, rowId: key.key_id } as const
        secrets = key.secrets.flatMap(({ hash, envelope, expires_at_ms: expiresAtMs = Infinity }) =>
          envelope
            ? [{ hash, bytes: Buffer.from(options.secretBox.open(envelope, binding), 'utf8'), expiresAtMs }]
            : [],
        )
        opened.set(key.key_id, secrets)
      }
      return secrets.filter(secret => secret.expiresAtMs > nowMs)
    },
    usedUntold: () =>
      byId
        .values()
        .filter(key => key.usedAtMs > key.toldAtMs)
        .toArray(),
    freshAtMs: view.freshAtMs,
    get size() {
      return byId.size
    },
    close: view.close,
  }
}
