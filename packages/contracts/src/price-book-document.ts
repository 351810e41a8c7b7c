import type { Static } from 'typebox'
import { defineDocument, defineEvent } from './define-event.ts'
import { UnixMs } from './ids.ts'
import { Type } from './type.ts'

export const PriceBookEntrySchema = Type.Object({
  price_book_id: Type.String(),
  /** `catalogue`: for everyone from `effective_at_ms`. `override`: one project's, consulted before the catalogue. */
  kind: Type.Union([Type.Literal('catalogue'), Type.Literal('override')]),
  project_id: Type.Optional(Type.String()),
  effective_at_ms: UnixMs,
  size_bytes: Type.Integer(),
})

/** Names a price book, in KV `price-books` under its id. The book itself is the object of that name in Object Store `price-books`. */
export const PriceBookEntry = defineDocument('price book entry', PriceBookEntrySchema)
export type PriceBookEntry = Static<typeof PriceBookEntrySchema>

/** `price-book.published.v1`: billing has published a price book. */
export const PriceBookPublished = defineEvent({
  type: 'price-book.published.v1',
  subject: () => 'price-book.published.v1',
  schema: PriceBookEntrySchema,
})
