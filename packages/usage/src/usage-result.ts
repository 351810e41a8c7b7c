import type { Provenance, Quantities, QuantityName, QuantityProvenance, UsageModifiers } from '@sluice/contracts'

/** What one reply of a provider amounts to. */
export interface UsageResult {
  /** Disjoint; names whose value is zero are absent. */
  quantities: Quantities
  provenance: QuantityProvenance
  modifiers: UsageModifiers
  /** Quantities that another model than the call's produced; they are contained in `quantities` too. */
  parts?: { model: string; quantities: Quantities }[]
  /** The provider's own usage object; null where it sent none. */
  raw_usage: unknown
  /** A number was told that was below an earlier one of the same reply. */
  shrank?: true
  /** Bytes of text, thinking and tool arguments in a reply that came whole, where its usage is low enough to look. */
  outputBytes?: number
  served_model?: string
  response_id?: string
  /** Ids of the items of a response and of the containers that code ran in: a later request may name them. */
  made_ids?: string[]
  /** The containers in `code_container_sessions`; their minutes are counted as if each were new and soon gone. */
  containers?: { id: string; gb: number }[]
  finish_reason?: string
}

/** Keeps what is not zero and marks every name with the same provenance. */
export function measuredAs(values: Quantities, provenance: Provenance): Pick<UsageResult, 'quantities' | 'provenance'> {
  const quantities: Quantities = {}
  const marks: QuantityProvenance = {}
  for (const key in values) {
    const name = key as QuantityName
    const value = values[name]
    if (!value) continue
    quantities[name] = value
    marks[name] = provenance
  }
  return { quantities, provenance: marks }
}

/** Adds `more` to `total`, name by name. A sum that is no exact integer any more stays at the last that is. */
export function addQuantities(total: Quantities, more: Quantities): Quantities {
  for (const [name, value] of Object.entries(more) as [QuantityName, number][])
    total[name] = Math.min((total[name] ?? 0) + value, Number.MAX_SAFE_INTEGER)
  return total
}

/** A reply that costs nothing: token counting, look-ups, errors before any work. */
export function freeUsage(rawUsage: unknown = null): UsageResult {
  return { quantities: {}, provenance: {}, modifiers: {}, raw_usage: rawUsage }
}
