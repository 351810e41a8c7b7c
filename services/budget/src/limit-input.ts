import { type Budget, Type } from '@sluice/contracts'
import { errorOf } from '@sluice/runtime'
import type { Static } from 'typebox'
import { formatAmount, maxAmount, parseAmount, parseCount } from './amount.ts'
import { errors, invalidAmount } from './errors.ts'

/** An amount as a caller may give it. A number is read by its digits: a body has none that a float does not hold. */
export const AmountInput = Type.Union([Type.String({ maxLength: 32 }), Type.Number()], {
  description:
    'In the unit of the budget: decimal USD with at most nine decimal places, or a whole number. As text, or as a number without an exponent',
})

export const NanoUsdInput = Type.Union([Type.String({ maxLength: 32 }), Type.Integer({ minimum: 1 })], {
  description: 'The limit in nano-USD, 10⁻⁹ of a dollar: a whole number, also as text',
})

/** A limit as a caller may give it: in the budget's unit, or in whole nano-USD. */
export interface LimitInput {
  limit?: Amount
  limit_nano_usd?: Amount
}

type Amount = Static<typeof AmountInput>

/** The limit in nano-USD or as a count; undefined where none is given. @throws AppError 400 */
export function readLimit(unit: Budget['unit'], input: LimitInput): number | undefined {
  const { limit, limit_nano_usd: nanoUsd } = input
  if (limit === undefined && nanoUsd === undefined) return undefined
  if ((limit !== undefined && nanoUsd !== undefined) || (nanoUsd !== undefined && unit !== 'usd'))
    throw errorOf(errors.invalidLimit)
  const amount = limit === undefined ? parseCount(String(nanoUsd)) : parseAmount(unit, String(limit))
  if (amount === undefined || amount < 1n || amount > maxAmount) throw errorOf(errors.invalidLimit)
  return Number(amount)
}

/**
 * An amount in the unit of a budget.
 * @param name of the member, in the caller's words
 * @throws AppError 400
 */
export function readAmount(unit: Budget['unit'], name: string, input: Amount, least = 1n): number {
  const amount = parseAmount(unit, String(input))
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
  Type.Object({ allow_up_to: AmountInput }, { additionalProperties: false }),
])

/** @throws AppError 400 */
export function readOnUnknown(unit: Budget['unit'], input: Static<typeof OnUnknownInput>): Budget['on_unknown'] {
  if (input === 'deny') return input
  return { allow_up_to: readAmount(unit, 'allow_up_to', input.allow_up_to, 0n) }
}
