import { Type } from '@sluice/contracts'
import { decimalText } from '@sluice/pricing'

/** Nano-USD as USD in decimal text. */
export function usdText(nanoUsd: bigint): string {
  return decimalText(nanoUsd, 9)
}

/**
 * Nano-USD as a JSON number in USD, digit for digit: the text goes into the JSON as it is and never through a float.
 */
export function usdNumber(nanoUsd: bigint): unknown {
  return (JSON as typeof JSON & { rawJSON: (text: string) => unknown }).rawJSON(usdText(nanoUsd))
}

/** What {@link usdNumber} makes. Without a type: a serialiser for numbers would take it through a float. */
export const UsdNumber = Type.Unsafe<unknown>({ description: 'A number: USD, exact to the nano-dollar' })
