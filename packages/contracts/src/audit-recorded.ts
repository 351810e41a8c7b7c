import type { Static } from 'typebox'
import { ContractError, defineEvent } from './define-event.ts'
import { Id, Uuid } from './ids.ts'
import type { ServiceName } from './streams.ts'
import { Type } from './type.ts'

/** Services whose changes stand in the trails that accounts keeps. */
export const auditedServices = ['budget', 'billing'] as const satisfies readonly ServiceName[]
export type AuditedService = (typeof auditedServices)[number]

/** What each of them owns, as actions begin: none can say that a member or a key was changed. */
const nouns: Record<AuditedService, readonly string[]> = {
  budget: ['budget', 'budget-request', 'alert-destination', 'stop'],
  billing: ['price-book', 'balance'],
}

/**
 * `audit.recorded.v1`: somebody has changed what another service than accounts owns. It commits with the change and is sent
 * through that service's outbox; accounts puts it at the end of the account's hash-chained trail, once for each `entry_id`.
 */
export const AuditRecordedData = Type.Object({
  entry_id: Uuid,
  /** Of a year with four digits. */
  at_ms: Type.Integer({ minimum: 0, maximum: 253_402_300_799_999 }),
  account_id: Id,
  /** Absent: it is of the account as a whole. */
  project_id: Type.Optional(Uuid),
  /** `system`: a task of ours, named by `actor_id`. */
  actor_kind: Type.Union([Type.Literal('member'), Type.Literal('key'), Type.Literal('system')]),
  actor_id: Type.String({ minLength: 1, maxLength: 128 }),
  /** Of the client, as the routes see it. Absent: no request has asked for it. */
  from_address: Type.Optional(Type.String({ maxLength: 64 })),
  user_agent: Type.Optional(Type.String({ maxLength: 256 })),
  action: Type.String({ pattern: `^(?:${Object.values(nouns).flat().join('|')})\\.[a-z-]{1,64}$` }),
  target: Type.String({ minLength: 1, maxLength: 128 }),
  /** Made for the trail: never a secret, prompt or completion. */
  before: Type.Optional(Type.Unknown()),
  after: Type.Optional(Type.Unknown()),
})
export type AuditRecordedData = Static<typeof AuditRecordedData>

export const AuditRecorded = defineEvent({
  type: 'audit.recorded.v1',
  subject: (service: AuditedService) => `audit.recorded.v1.${service}`,
  schema: AuditRecordedData,
})

/** Requires that the service of a subject owns what it says was changed. @throws ContractError */
export function requireOwnChange(subject: string, { action }: AuditRecordedData): void {
  const service = auditedServices.find(name => AuditRecorded.subject(name) === subject)
  const isOwn = service !== undefined && nouns[service].some(noun => action.startsWith(`${noun}.`))
  if (!isOwn)
    throw new ContractError(`${AuditRecorded.type}: another service owns what /action names than its subject says`)
}
