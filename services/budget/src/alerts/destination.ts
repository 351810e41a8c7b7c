import type { Envelope } from '@sluice/contracts'
import type { SecretBox } from '@sluice/runtime'
import type { BudgetParent } from '../budget.ts'
import type { AlertEvent } from './alert-event.ts'

/** Where alerts go. */
export interface AlertDestination {
  destinationId: string
  parent: BudgetParent
  /** The one budget it is told of. */
  budgetId: string | undefined
  name: string
  target: AlertTarget
  /** What it is told of. */
  events: readonly AlertEvent[]
  enabled: boolean
  createdAtMs: number
}

export type AlertTarget =
  | { kind: 'webhook'; url: string; secrets: readonly SealedSecret[] }
  | { kind: 'email'; addresses: readonly string[] }
  /** Whoever has asked for more: accounts knows where mail reaches them. */
  | { kind: 'member'; memberId: string }

/** A secret of a webhook, as it is kept. */
export interface SealedSecret {
  envelope: Envelope
  created_at_ms: number
  /** When it does not sign any more; null: it is the newest. */
  expires_at_ms: number | null
}

type Named = Pick<AlertDestination, 'destinationId' | 'parent'>

export function sealSecret(box: SecretBox, of: Named, secret: string, nowMs: number): SealedSecret {
  return { envelope: box.seal(secret, bindingOf(of)), created_at_ms: nowMs, expires_at_ms: null }
}

/** A new secret at the head; those there are sign on until a time. */
export function rotateSecrets(
  secrets: readonly SealedSecret[],
  next: SealedSecret,
  { nowMs, endsAtMs }: { nowMs: number; endsAtMs: number },
): SealedSecret[] {
  const ending = secretsAt(secrets, nowMs).map(secret => ({
    ...secret,
    expires_at_ms: Math.min(secret.expires_at_ms ?? endsAtMs, endsAtMs),
  }))
  return [next, ...ending].filter(({ expires_at_ms: end }) => end === null || end > nowMs).slice(0, mostSecrets)
}

/** A message is signed under each. */
const mostSecrets = 5

export function secretsAt(secrets: readonly SealedSecret[], nowMs: number): SealedSecret[] {
  return secrets.filter(({ expires_at_ms: end }) => end === null || end > nowMs)
}

/** @throws EnvelopeError where the key of this service is another one */
export function openSecret(box: SecretBox, of: Named, { envelope }: SealedSecret): string {
  return box.open(envelope, bindingOf(of))
}

function bindingOf({ destinationId, parent }: Named) {
  return {
    purpose: 'webhook-secret' as const,
    projectId: parent.projectId ?? parent.accountId,
    rowId: destinationId,
  }
}
