import type { Static } from 'typebox'
import { defineDocument } from './define-event.ts'
import { Id, UnixMs } from './ids.ts'
import { Type } from './type.ts'

export const CutoffSchema = Type.Object({
  /** KV key: `<budget_id>` or `<budget_id>.<copy key>`; see `copyKey`. */
  cutoff_id: Type.String(),
  /** Grows with each change of this cutoff; a gateway applies only what is newer. */
  version: Type.Integer({ minimum: 1 }),
  active: Type.Boolean(),
  reason: Type.Union([Type.Literal('budget_spent'), Type.Literal('stopped_by_admin')]),
  budget_id: Id,
  name: Type.String(),
  copy: Type.String(),
  project_id: Type.Optional(Type.String()),
  unit: Type.String(),
  limit: Type.Integer(),
  spent: Type.Integer(),
  window: Type.String(),
  window_start_ms: UnixMs,
  /** End of the window: the gateway lifts the cutoff itself then. Absent for `total`. */
  until_ms: Type.Optional(UnixMs),
  at_ms: UnixMs,
})

/** State of one budget copy's cutoff, in KV `cutoffs`. */
export const Cutoff = defineDocument('cutoff', CutoffSchema)
export type Cutoff = Static<typeof CutoffSchema>

/** A copy's value as a KV key token: base64url, since values may be e-mails or names with dots. Empty for a shared pool. */
export function cutoffKey(budgetId: string, copy: string): string {
  if (copy === '') return budgetId
  const bytes = new TextEncoder().encode(copy)
  return `${budgetId}.${btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '')}`
}

/** The reverse of {@link cutoffKey}; undefined: it is the key of no copy. */
export function copyOfKey(key: string): { budgetId: string; copy: string } | undefined {
  const [budgetId = '', token = ''] = key.split('.')
  if (!/^[\w-]*$/.test(token) || token.length % 4 === 1) return undefined
  const bytes = Uint8Array.from(atob(token.replaceAll('-', '+').replaceAll('_', '/')), char => char.charCodeAt(0))
  return { budgetId, copy: new TextDecoder().decode(bytes) }
}
