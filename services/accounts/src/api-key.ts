import { randomBytes } from 'node:crypto'
import type { Envelope } from '@sluice/contracts'
import { errorOf, formatApiKey, hashCredential, type SecretBox } from '@sluice/runtime'
import { uuidv7 } from 'uuidv7'
import { errors } from './errors.ts'

/** A new key: `value` is shown once and kept nowhere. */
export interface NewApiKey {
  keyId: string
  secretId: string
  value: string
  hash: string
  envelope: Envelope
}

/** Makes a key with a secret of 256 random bits, sealed for this key and project. */
export function newApiKey(box: SecretBox, projectId: string): NewApiKey {
  const keyId = uuidv7()
  const secret = randomBytes(32).toString('base64url')
  const value = formatApiKey({ keyId, projectId, secret })
  return {
    keyId,
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

/** What a key may be given: what its creator may do, and of a key its models and end as well. */
export interface KeyLimits {
  permissions: Iterable<string>
  models: readonly string[] | undefined
  expiresAtMs: number | undefined
}

/** Refuses a grant beyond the creator's own, so that no key can make a stronger one. @throws AppError 403 */
export function requireWithin(wanted: KeyLimits, own: KeyLimits): void {
  const held = new Set(own.permissions)
  const permissions = [...wanted.permissions].every(permission => held.has(permission))
  const models =
    own.models === undefined ||
    (wanted.models?.every(child => own.models?.some(parent => coversModel(parent, child))) ?? false)
  const lifetime = own.expiresAtMs === undefined || (wanted.expiresAtMs ?? Infinity) <= own.expiresAtMs
  if (!permissions || !models || !lifetime) throw errorOf(errors.grantsTooMuch)
}

/** Whether everything `child` matches is matched by `parent`; both may end in `*`. */
export function coversModel(parent: string, child: string): boolean {
  if (!parent.endsWith('*')) return parent === child
  return child.startsWith(parent.slice(0, -1))
}
