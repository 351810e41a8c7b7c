import { type Budget, Type } from '@sluice/contracts'
import { errorOf } from '@sluice/runtime'
import type { Static } from 'typebox'
import { maxAmount, parseAmount } from './amount.ts'
import { errors } from './errors.ts'

/** A limit as a caller may give it: text in the budget's unit, or whole nano-USD. */
export interface LimitInput {
  limit?: string
  limit_nano_usd?: number
}

/** The limit in nano-USD or as a count; undefined where none is given. @throws AppError 400 */
export function readLimit(unit: Budget['unit'], input: LimitInput): number | undefined {
  const { limit, limit_nano_usd: nanoUsd } = input
  if (limit === undefined && nanoUsd === undefined) return undefined
  if ((limit !== undefined && nanoUsd !== undefined) || (nanoUsd !== undefined && unit !== 'usd'))
    throw errorOf(errors.invalidLimit)
  const amount = limit === undefined ? BigInt(nanoUsd ?? 0) : parseAmount(unit, limit)
  if (amount === undefined || amount < 1n || amount > maxAmount) throw errorOf(errors.invalidLimit)
  return Number(amount)
}

/** What budgets with `on_unknown` say to usage that cannot be bounded: nothing of it, or so much. */
export const OnUnknownInput = Type.Union([
  Type.Literal('deny'),
  Type.Object({ allow_up_to: Type.String({ maxLength: 32 }) }, { additionalProperties: false }),
])

/** @throws AppError 400 */
export function readOnUnknown(unit: Budget['unit'], input: Static<typeof OnUnknownInput>): Budget['on_unknown'] {
  if (input === 'deny') return input
  const amount = parseAmount(unit, input.allow_up_to)
  if (amount === undefined) throw errorOf(errors.invalidLimit)
  return { allow_up_to: Number(amount) }
}
