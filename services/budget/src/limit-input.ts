import { type Budget, Type } from '@sluice/contracts'
import { errorOf } from '@sluice/runtime'
import type { Static } from 'typebox'
import { formatAmount, maxAmount, parseAmount } from './amount.ts'
import { errors, invalidAmount } from './errors.ts'

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

/**
 * An amount in the unit of a budget.
 * @param name of the member, in the caller's words
 * @throws AppError 400
 */
export function readAmount(unit: Budget['unit'], name: string, text: string, least = 1n): number {
  const amount = parseAmount(unit, text)
  if (amount === undefined || amount < least) throw invalidAmount(name)
  return Number(amount)
}

/** @throws AppError 400 where a limit, raised by so much, would be more than is counted exactly */
export function requireRaisable(unit: Budget['unit'], limit: number, amount: number): void {
  if (BigInt(limit) + BigInt(amount) <= maxAmount) return
  const message = `Raised by so much, a limit of ${formatAmount(unit, BigInt(limit))} would be above ${formatAmount(unit, maxAmount)}, the most that is counted exactly. Raise it by less.`
  throw errorOf(errors.invalidAmount, { message })
}

/** What budgets with `on_unknown` say to usage that cannot be bounded: nothing of it, or so much. */
export const OnUnknownInput = Type.Union([
  Type.Literal('deny'),
  Type.Object({ allow_up_to: Type.String({ maxLength: 32 }) }, { additionalProperties: false }),
])

/** @throws AppError 400 */
export function readOnUnknown(unit: Budget['unit'], input: Static<typeof OnUnknownInput>): Budget['on_unknown'] {
  if (input === 'deny') return input
  return { allow_up_to: readAmount(unit, 'allow_up_to', input.allow_up_to, 0n) }
}
