import type { AuditRecordedData } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'
import { counter } from '@sluice/telemetry'
import type { Actor } from './change-store.ts'
import type { SendOutcome } from './send-spans.ts'

const changes = counter('sluice_accounts_changes_total', 'Changes committed', ['action'])
const signIns = counter('sluice_accounts_sign_ins_total', 'Attempts to sign in', ['outcome'])
const repairs = counter('sluice_accounts_repairs_total', 'Times the buckets were compared with PostgreSQL')
const upkeepFailures = counter(
  'sluice_accounts_upkeep_failures_total',
  'Repairs and sweeps that failed, to be tried again',
)
const unread = counter(
  'sluice_accounts_unread_changes_total',
  'Messages of other services for the audit trail that are not what they must be',
)
const spans = counter('sluice_accounts_spans_total', 'Spans of usage for collectors of projects', ['outcome'])

/** A change was committed: each line of its audit trail. */
export function changeCommitted(
  log: Logger,
  actor: Actor,
  entries: readonly { action: string; target: string }[],
): void {
  for (const { action, target } of entries) {
    changes.inc({ action })
    log.info({ action, target, actorKind: actor.kind, actorId: actor.id }, 'change committed')
  }
}

/** Changes of other services stand in the trail. */
export function changeRecorded(log: Logger, recorded: readonly AuditRecordedData[]): void {
  for (const { action, target, actor_kind, actor_id } of recorded) {
    changes.inc({ action })
    log.info({ action, target, actorKind: actor_kind, actorId: actor_id }, 'change of another service recorded')
  }
}

/** A message for the trail is none: it was put aside. */
export function changeUnread(log: Logger, subject: string, reason: string): void {
  unread.inc()
  log.error({ subject, reason }, 'change of another service not readable, kept in unread_changes')
}

/** Somebody signed in, or tried to. Neither e-mail nor password is noted. */
export function signInTried(log: Logger, outcome: 'succeeded' | 'refused' | 'throttled', ip: string): void {
  signIns.inc({ outcome })
  if (outcome !== 'succeeded') log.warn({ outcome, ip }, 'sign-in refused')
}

/** The buckets were compared with PostgreSQL, and what differed was announced. */
export function announcementsRepaired(log: Logger, result: { announced: number; withdrawn: number }): void {
  repairs.inc()
  log.info(result, 'announcements repaired')
}

/** A repair or a sweep did not go through: it is tried again. */
export function upkeepFailed(log: Logger, err: unknown): void {
  upkeepFailures.inc()
  log.error({ err }, 'upkeep failed, will be tried again')
}

/** A collector of a project was asked to take spans. */
export function spansSent(log: Logger, projectId: string, { ok, message }: SendOutcome, count: number): void {
  spans.inc({ outcome: ok ? 'sent' : 'refused' }, count)
  if (!ok) log.warn({ projectId, message, count }, 'spans not taken')
}

/** More spans wait for a collector than are kept. */
export function spansDropped(): void {
  spans.inc({ outcome: 'dropped' })
}
