import type { PriceBookEntry } from '@sluice/contracts'

/**
 * Which price book holds when: the catalogue for everyone, and each project's own book. A book comes into force by itself at
 * its instant; one that is announced and not here yet leaves the one before it in force.
 */
export class PriceSchedule {
  readonly #isHere: (priceBookId: string) => boolean
  #catalogues: PriceBookEntry[] = []
  readonly #overrides = new Map<string, PriceBookEntry[]>()

  constructor(isHere: (priceBookId: string) => boolean) {
    this.#isHere = isHere
  }

  /** Takes an entry as it is now: a book may get another instant. */
  put(entry: PriceBookEntry): void {
    if (entry.kind === 'catalogue') this.#catalogues = withEntry(this.#catalogues, entry)
    else if (entry.project_id !== undefined)
      this.#overrides.set(entry.project_id, withEntry(this.#overrides.get(entry.project_id) ?? [], entry))
  }

  /** Takes back a book that was announced. */
  remove(priceBookId: string): void {
    const others = (entries: readonly PriceBookEntry[]) => entries.filter(entry => entry.price_book_id !== priceBookId)
    this.#catalogues = others(this.#catalogues)
    for (const [projectId, entries] of this.#overrides)
      if (entries.some(entry => entry.price_book_id === priceBookId)) this.#overrides.set(projectId, others(entries))
  }

  /** The catalogue in force; undefined until the first one is here. */
  catalogueAt(nowMs: number): string | undefined {
    return this.#latest(this.#catalogues, nowMs)
  }

  /** A project's own book: undefined where it has none, `missing` where it has one and none of it is here. */
  overrideAt(projectId: string, nowMs: number): string | 'missing' | undefined {
    const entries = this.#overrides.get(projectId)
    if (!entries) return undefined
    const id = this.#latest(entries, nowMs)
    return id ?? (entries.some(entry => entry.effective_at_ms <= nowMs) ? 'missing' : undefined)
  }

  #latest(entries: readonly PriceBookEntry[], nowMs: number): string | undefined {
    for (const entry of entries)
      if (entry.effective_at_ms <= nowMs && this.#isHere(entry.price_book_id)) return entry.price_book_id
    return undefined
  }
}

/** Latest instant first. */
function withEntry(entries: readonly PriceBookEntry[], entry: PriceBookEntry): PriceBookEntry[] {
  return [...entries.filter(other => other.price_book_id !== entry.price_book_id), entry].sort(
    (a, b) => b.effective_at_ms - a.effective_at_ms,
  )
}
