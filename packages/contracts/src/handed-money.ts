import type { Static } from 'typebox'
import { Id, UnixMs } from './ids.ts'
import { HOMES, LeaseId } from './lease-messages.ts'
import { Type } from './type.ts'

/**
 * Money of hard budgets that outlives the run which has leased it: what its holder has, by lease. Kept with what it is for, so that
 * any gateway can tell the homes what became of it.
 */
export const HandedMoney = Type.Object({
  holder: Id,
  leases: Type.Array(
    Type.Object({
      lease_id: LeaseId,
      home: Type.Integer({ minimum: 0, maximum: HOMES - 1 }),
      budget_id: Id,
      copy: Type.String(),
      window_start_ms: UnixMs,
      unit: Type.Union([Type.Literal('usd'), Type.Literal('tokens'), Type.Literal('requests')]),
      granted: Type.Integer({ minimum: 0 }),
      /** Where its end cannot be known, what is not settled of it stays set aside. */
      exact: Type.Optional(Type.Literal(true)),
      /** Requests for these models alone count. Absent: all do. */
      models: Type.Optional(Type.Array(Type.String(), { maxItems: 64 })),
      /** What was used of it, once that is known. Absent: it runs. */
      settled: Type.Optional(Type.Integer({ minimum: 0 })),
    }),
  ),
  /** The homes have been told how it ended. Absent: they have not. */
  told: Type.Optional(Type.Literal(true)),
})
export type HandedMoney = Static<typeof HandedMoney>
