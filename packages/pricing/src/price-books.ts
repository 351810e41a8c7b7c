import type { CompiledPriceBook } from './compile-price-book.ts'

/** The catalogue, and a project's own book that is asked first, quantity by quantity. */
export interface PriceBooks {
  book: CompiledPriceBook
  override?: CompiledPriceBook | undefined
}
