import type { QuantityName } from '@sluice/contracts'
import type { PriceBooks } from './price-books.ts'

/** Says whether a model is sold by a quantity: speech by the character or the token, images by the piece or the token. */
export function hasRate(books: PriceBooks, provider: string, model: string, quantity: QuantityName): boolean {
  return [books.override, books.book].some(
    book => book?.find(provider, model)?.resolve({}).rates[quantity] !== undefined,
  )
}
