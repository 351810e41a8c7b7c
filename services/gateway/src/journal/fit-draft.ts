import type { DrawnRow } from '@sluice/leases'
import { boundedRawUsage } from '@sluice/usage'
import type { DraftText } from './close-line.ts'
import type { UsageDraft } from './open-record.ts'
import { draftText } from './record-json.ts'

/** An event below this many characters is published as it is: every usual one is below a tenth of it. */
const usualLength = 64 * 1024
/** What a draft may be in UTF-8. A message that the bus refuses (1 MB) would hold up its series for ever. */
const maxDraftBytes = 512 * 1024
const maxTextLength = 256

/**
 * The draft's JSON, in a size that can be published. Where it is larger, the draft loses what can be missed: the raw usage
 * object first, then what the client claimed, long texts, and the lines of the price, which become one of the same cost. Who,
 * what, the quantities, leases, holds and the cost stay. `onShrunk` is told.
 * @param drawn its `drawn`, where that is of a row
 */
export function fitDraft(draft: UsageDraft, onShrunk: (bytes: number) => void, drawn?: DrawnRow): DraftText {
  const text = textOf(draft, drawn)
  if (text && lengthOf(text) <= usualLength) return text
  if (drawn) draft.drawn = drawn.drawn
  draft.raw_usage = boundedRawUsage(draft.raw_usage)
  const json = JSON.stringify(draft)
  if (Buffer.byteLength(json) <= maxDraftBytes) return { json }
  onShrunk(Buffer.byteLength(json))
  draft.raw_usage = null
  draft.claimed = {}
  shorten(draft)
  draft.modifiers = shorten({ ...draft.modifiers })
  if (draft.cut_by) draft.cut_by = shorten({ ...draft.cut_by })
  if (draft.line_items.length > 0) {
    const { cost_nano_usd } = draft
    draft.line_items = [{ quantity_name: 'unattributed', quantity: 1, rate_nano_usd_per_million: 0, cost_nano_usd }]
  }
  return { json: JSON.stringify(draft) }
}

/** Of most of it; what is left is short. */
function lengthOf({ facts = '', json, tail }: DraftText): number {
  return facts.length + json.length + (tail?.bound ?? 0)
}

/** Undefined where it is nested deeper than can be written. */
function textOf(draft: UsageDraft, drawn: DrawnRow | undefined): DraftText | undefined {
  try {
    return draftText(draft, drawn)
  } catch {
    return undefined
  }
}

/** A settlement key is an identity: shortened it would be another one's. */
function shorten<T extends object>(fields: T): T {
  for (const [name, value] of Object.entries(fields)) {
    if (typeof value === 'string' && value.length > maxTextLength && name !== 'settlement_key')
      Object.assign(fields, { [name]: value.slice(0, maxTextLength).toWellFormed() })
  }
  return fields
}
