import { randomBytes } from 'node:crypto'
import type { Envelope } from '@sluice/contracts'
import { coversIpRange, errorOf, formatApiKey, hashCredential, type SecretBox } from '@sluice/runtime'
import { uuidv7 } from 'uuidv7'
import { errors } from './errors.ts'

/** A new secret of a key: `value` is the whole key string, shown once and kept nowhere. */
export interface NewSecret {
  secretId: string
  value: string
  hash: string
  envelope: Envelope
}

/** Makes a secret of 256 random bits, sealed for this key and project. */
export function newSecret(box: SecretBox, projectId: string, keyId: string): NewSecret {
  const secret = randomBytes(32).toString('base64url')
  const value = formatApiKey({ keyId, projectId, secret })
  return {
    secretId: newId('sec'),
    value,
    hash: hashCredential(value),
    envelope: box.seal(secret, { purpose: 'key-secret', projectId, rowId: keyId }),
  }
}

/** A prefixed id that sorts by time: `team_0190…`. */
export function newId(prefix: 'acct' | 'mem' | 'team' | 'tm' | 'cc' | 'sec' | 'int' | 'sa'): string {
  return `${prefix}_${uuidv7().replaceAll('-', '')}`
}

/** What a key may be given: what its creator may do, and of a key its models, addresses and end as well. */
export interface KeyLimits {
  permissions: Iterable<string>
  models: readonly string[] | undefined
  ipRanges: readonly string[] | undefined
  expiresAtMs: number | undefined
}

/** Refuses a grant beyond the creator's own, so that no key can make a stronger one. @throws AppError 403 */
export function requireWithin(wanted: KeyLimits, own: KeyLimits): void {
  const held = new Set(own.permissions)
  const permissions = [...wanted.permissions].every(permission => held.has(permission))
  const models = isWithin(wanted.models, own.models, coversModel)
  const addresses = isWithin(wanted.ipRanges, own.ipRanges, coversIpRange)
  const lifetime = own.expiresAtMs === undefined || (wanted.expiresAtMs ?? Infinity) <= own.expiresAtMs
  if (!permissions || !models || !addresses || !lifetime) throw errorOf(errors.grantsTooMuch)
}

/** Whether a list of models allows no more than another; null: it allows everything. */
export function areModelsWithin(wanted: readonly string[] | null, own: readonly string[] | null): boolean {
  return isWithin(wanted ?? undefined, own ?? undefined, coversModel)
}

/** Whether a list allows no more than another; no list allows everything. */
function isWithin(
  wanted: readonly string[] | undefined,
  own: readonly string[] | undefined,
  covers: (parent: string, child: string) => boolean,
): boolean {
  return own === undefined || (wanted?.every(child => own.some(parent => covers(parent, child))) ?? false)
}

/** Whether everything `child` matches is matched by `parent`; both may end in `*`. */
export function coversModel(parent: string, child: string): boolean {
  if (!parent.endsWith('*')) return parent === child
  return child.startsWith(parent.slice(0, -1))
}
