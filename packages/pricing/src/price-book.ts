import { createHash } from 'node:crypto'
import type { QuantityName, UsageModifiers } from '@sluice/contracts'
import type { ModelMatch } from './model-match.ts'

/** Integer nano-USD per 10⁶ units; above a tier's threshold the tier's rate holds for the whole call. */
export interface Rate {
  base: number
  /** Ascending. Chosen by all input tokens of the call, cache reads and writes included: `total > above_input_tokens`. */
  tiers?: { above_input_tokens: number; rate: number }[]
}

export type Rates = Partial<Record<QuantityName, Rate>>

/** What one model costs. */
export interface ModelPrices {
  /** Unique within its provider. */
  id: string
  match: ModelMatch
  rates: Rates
  /** Absolute rates for a way of serving (size and quality of an image, say); the first that matches replaces `rates` by name. */
  variants?: { when: UsageModifiers; rates: Rates }[]
  /** Where the row comes from, where that is not the catalogue. */
  source?: string
}

/** A ratio on the rates of token quantities while `when` holds. Rules for different modifiers multiply; of one modifier the first wins. */
export interface ModifierRule {
  id: string
  when: UsageModifiers
  /** Absent: every model of the provider. */
  match?: ModelMatch
  /** `[numerator, denominator]`. */
  ratio: [number, number]
  source?: string
}

export interface ProviderPrices {
  /** In order: the first entry that matches a model name speaks for it. */
  models: ModelPrices[]
  /** Rates for models of this provider that have none of their own for that quantity. */
  defaults?: Rates
  modifiers?: ModifierRule[]
}

/** An immutable list of rates, named by its content. */
export interface PriceBook {
  format: 1
  /** Of a project's own book: whose it is. Part of the content, so that no two projects share a book. */
  project_id?: string
  providers: Record<string, ProviderPrices>
}

/** JSON with sorted keys: the same book is the same text. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) => {
    if (part === null || typeof part !== 'object' || Array.isArray(part)) return part
    return Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
  })
}

/** `pb_` and the first 32 hex digits of the SHA-256 of the book's canonical JSON. */
export function priceBookId(book: PriceBook): string {
  return `pb_${createHash('sha256').update(canonicalJson(book)).digest('hex').slice(0, 32)}`
}

/** The book's canonical text, as it is stored and published. */
export function serialisePriceBook(book: PriceBook): string {
  return canonicalJson(book)
}
