import type { Static } from 'typebox'
import { defineEvent } from './define-event.ts'
import { Id, NanoUsd, UnixMs, Uuid } from './ids.ts'
import { Type } from './type.ts'

/** Where the money of a prepaid project stands. The newest version is what holds, in whatever order they come. */
export const BalanceData = Type.Object({
  project_id: Uuid,
  account_id: Id,
  /** Grows with each change between the two events of a project. */
  version: Type.Integer({ minimum: 1 }),
  /** Below zero: what was spent beyond it. */
  balance_nano_usd: NanoUsd,
  at_ms: UnixMs,
})
export type BalanceData = Static<typeof BalanceData>

/** `balance.exhausted.v1`: a prepaid project has nothing left. Its calls are ended and refused. */
export const BalanceExhausted = defineEvent({
  type: 'balance.exhausted.v1',
  subject: () => 'balance.exhausted.v1',
  schema: BalanceData,
})

/** `balance.restored.v1`: it has been credited, or is not prepaid any more. */
export const BalanceRestored = defineEvent({
  type: 'balance.restored.v1',
  subject: () => 'balance.restored.v1',
  schema: BalanceData,
})
