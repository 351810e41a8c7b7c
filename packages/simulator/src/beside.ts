import { type BillLine, type Metered, NOTHING_METERED, priceLines, type Rating } from './cost.ts'
import type { SimPrice } from './prices.ts'

/** What a turn of its own, or another model, took for an answer: on the bill beside it, at its own price. */
export interface Beside {
  readonly lines: (rating: Rating) => readonly BillLine[]
}

/** A turn of a model of text. Its own input decides whether it is a long one. */
export function turnBeside(
  model: string,
  price: SimPrice,
  used: Pick<Metered, 'input_fresh' | 'input_from_cache' | 'output'>,
): Beside {
  return {
    lines: rating => priceLines(price, { ...NOTHING_METERED, ...used }, rating).map(line => ({ ...line, model })),
  }
}
