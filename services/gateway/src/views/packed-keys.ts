import type { CallIdentity, Key } from '@sluice/contracts'
import type { ActiveKey } from './keys-view.ts'

/** What many keys have in common: it is held once. */
type Common = Pick<
  Key,
  | 'account_id'
  | 'project_id'
  | 'team_id'
  | 'role'
  | 'system'
  | 'permissions'
  | 'member_team_ids'
  | 'member_default_team_id'
  | 'models'
  | 'ip_ranges'
>
interface Shared {
  readonly keys: PackedKeys
  readonly common: Common
  /** The master key that wraps the first secret. */
  readonly kid: string | undefined
  readonly mayCall: boolean
  readonly text: string
  holders: number
}

type Secret = Key['secrets'][number]
/** The rest, without the hashes, by which keys are found. Of an envelope, `kid` is null where it is the shared one. */
type Own = [
  version: number,
  name: string,
  memberId: string | null,
  serviceAccountId: string | null,
  expiresAtMs: number | null,
  secrets: [secretId: string, expiresAtMs: number | null, ...envelope: (string | null)[]][],
]

interface Unpacked {
  key: Key
  identity: CallIdentity
  memberTeams: readonly string[] | undefined
}

/**
 * Holds keys that may be used, a hundred thousand of them, at about 600 bytes of heap each: what they
 * have in common once, the rest as text, read when a key is used. Those used last stay as they are read.
 */
export class PackedKeys {
  readonly #shared = new Map<string, Shared>()
  readonly #unpacked = new Set<PackedKey>()
  readonly #maxUnpacked: number

  constructor(maxUnpacked = 20_000) {
    this.#maxUnpacked = maxUnpacked
  }

  /** How many keys are held as they are read. */
  get unpackedCount(): number {
    return this.#unpacked.size
  }
  /** How many different things keys have in common. */
  get sharedCount(): number {
    return this.#shared.size
  }

  /** @param before times of the same key's, before it changed */
  pack(key: Key, before: Pick<ActiveKey, 'usedAtMs' | 'toldAtMs'>): PackedKey {
    const {
      key_id,
      version,
      name,
      member_id,
      service_account_id,
      expires_at_ms,
      revoked_at_ms: _,
      secrets,
      ...common
    } = key
    const shared = this.#share(common, secrets[0]?.envelope?.kid)
    const own: Own = [
      version,
      name,
      member_id ?? null,
      service_account_id ?? null,
      expires_at_ms ?? null,
      secrets.map(secret => packSecret(secret, shared.kid)),
    ]
    const [hash, ...more] = secrets.map(secret => secret.hash)
    return new PackedKey(shared, key_id, more.length === 0 ? hash : [hash ?? '', ...more], JSON.stringify(own), before)
  }

  /** Call it once for each key that is held no more. */
  drop(held: PackedKey): void {
    this.#unpacked.delete(held)
    if (--held.shared.holders === 0) this.#shared.delete(held.shared.text)
  }

  /** The oldest go first. */
  noteUnpacked(held: PackedKey): void {
    this.#unpacked.add(held)
    if (this.#unpacked.size <= this.#maxUnpacked) return
    for (const oldest of this.#unpacked) {
      this.#unpacked.delete(oldest)
      oldest.packAgain()
      return
    }
  }

  #share(common: Common, kid: string | undefined): Shared {
    const text = JSON.stringify([common, kid])
    const known = this.#shared.get(text)
    const mayCall = common.permissions?.includes('llm:invoke') ?? true
    const shared = known ?? { keys: this, common, kid, mayCall, text, holders: 0 }
    if (!known) this.#shared.set(text, shared)
    shared.holders++
    return shared
  }
}

/** A key of {@link PackedKeys}. */
export class PackedKey implements ActiveKey {
  readonly keyId: string
  readonly shared: Shared
  usedAtMs: number
  toldAtMs: number
  /** Nearly every key has one secret: no list is held for it. */
  readonly #hashes: string | readonly string[] | undefined
  readonly #own: string
  #unpacked: Unpacked | undefined

  constructor(
    shared: Shared,
    keyId: string,
    hashes: string | readonly string[] | undefined,
    own: string,
    { usedAtMs, toldAtMs }: Pick<ActiveKey, 'usedAtMs' | 'toldAtMs'>,
  ) {
    this.shared = shared
    this.keyId = keyId
    this.#hashes = hashes
    this.#own = own
    this.usedAtMs = usedAtMs
    this.toldAtMs = toldAtMs
  }

  get hashes(): readonly string[] {
    if (this.#hashes === undefined) return []
    return typeof this.#hashes === 'string' ? [this.#hashes] : this.#hashes
  }
  get mayCall(): boolean {
    return this.shared.mayCall
  }
  get key(): Key {
    return this.#read().key
  }
  get identity(): CallIdentity {
    return this.#read().identity
  }
  get memberTeams(): readonly string[] | undefined {
    return this.#read().memberTeams
  }

  /** Lets go of what was read. */
  packAgain(): void {
    this.#unpacked = undefined
  }

  #read(): Unpacked {
    if (this.#unpacked) return this.#unpacked
    const key = this.#readKey()
    this.#unpacked = { key, identity: identityOf(key), memberTeams: memberTeamsOf(key) }
    this.shared.keys.noteUnpacked(this)
    return this.#unpacked
  }

  #readKey(): Key {
    const [version, name, memberId, serviceAccountId, expiresAtMs, secrets]: Own = JSON.parse(this.#own)
    const { hashes } = this
    return {
      ...this.shared.common,
      key_id: this.keyId,
      version,
      name,
      ...(memberId === null ? {} : { member_id: memberId }),
      ...(serviceAccountId === null ? {} : { service_account_id: serviceAccountId }),
      ...(expiresAtMs === null ? {} : { expires_at_ms: expiresAtMs }),
      secrets: secrets.map((secret, index) => unpackSecret(secret, hashes[index] ?? '', this.shared.kid)),
    }
  }
}

function packSecret({ secret_id, envelope, expires_at_ms }: Secret, sharedKid: string | undefined): Own[5][number] {
  if (!envelope) return [secret_id, expires_at_ms ?? null]
  const kid = envelope.kid === sharedKid ? null : envelope.kid
  return [secret_id, expires_at_ms ?? null, kid, envelope.wrapped_key, envelope.nonce, envelope.ciphertext]
}

function unpackSecret(
  [secret_id, expiresAtMs, kid, ...sealed]: Own[5][number],
  hash: string,
  sharedKid: string | undefined,
): Secret {
  const [wrapped_key, nonce, ciphertext] = sealed.map(part => part ?? '')
  const envelope =
    wrapped_key === undefined || nonce === undefined || ciphertext === undefined
      ? {}
      : { envelope: { v: 1 as const, kid: kid ?? sharedKid ?? '', wrapped_key, nonce, ciphertext } }
  return { secret_id, hash, ...envelope, ...(expiresAtMs === null ? {} : { expires_at_ms: expiresAtMs }) }
}

function identityOf(key: Key): CallIdentity {
  return {
    account_id: key.account_id,
    project_id: key.project_id,
    team_id: key.team_id ?? key.member_default_team_id ?? 'unassigned',
    ...(key.member_id === undefined ? {} : { member_id: key.member_id }),
    ...(key.service_account_id === undefined ? {} : { service_account_id: key.service_account_id }),
    key_id: key.key_id,
    credential_kind: 'key',
  }
}

function memberTeamsOf(key: Key): readonly string[] | undefined {
  return key.team_id === undefined && key.member_id !== undefined ? key.member_team_ids : undefined
}
