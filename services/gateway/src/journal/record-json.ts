import type { DrawnRow } from '@sluice/leases'
import { type AttemptFacts, membersOfFacts } from './attempt-facts.ts'
import type { DraftText } from './close-line.ts'
import { DrawnRowTail, DrawnTail } from './drawn-tail.ts'
import type { OpeningRecord, OpenRecord, UsageDraft } from './open-record.ts'
import type { RecordText } from './record.ts'

/*
 * The JSON of the two records that every call writes, as `JSON.stringify` makes it: but what calls have alike, a third of it, is
 * written once for many of them.
 */

/** What is left of a record without its ids and facts: each member by its name, so that the compiler misses a new one. */
type RestOf<Record_> = {
  [Name in keyof Required<Omit<Record_, keyof AttemptFacts | 'event_id' | 'call_id' | 'drawn'>>]: Record_[Name]
}

/** The JSON of an OPEN, in pieces. */
export function openText(record: OpeningRecord): Pick<RecordText, 'lead' | 'json'> {
  const rest = {
    admitted_at_ms: record.admitted_at_ms,
    price_book_id: record.price_book_id,
    estimated_input: record.estimated_input,
    leases: record.leases,
    held: record.held,
    override_price_book_id: record.override_price_book_id,
    unpriced_policy: record.unpriced_policy,
    asked_modifiers: record.asked_modifiers,
    in_call: record.in_call,
    holds: record.holds ?? record.row?.holds,
    holder: record.holder,
  } satisfies RestOf<OpenRecord>
  // Both are UUIDs: nothing in them is to be escaped.
  const { event_id, call_id } = record
  return {
    lead: [`{"event_id":"${event_id}","call_id":"${call_id}",`, membersOfFacts(record)],
    json: JSON.stringify(rest),
  }
}

/**
 * The JSON of an event without its place.
 * @param drawn its `drawn`, where that is of a row
 * @throws RangeError where its raw usage is nested deeper than can be written
 */
export function draftText(draft: UsageDraft, drawn?: DrawnRow): DraftText {
  const rest = {
    http_status: draft.http_status,
    status: draft.status,
    admitted_at_ms: draft.admitted_at_ms,
    finished_at_ms: draft.finished_at_ms,
    time_to_first_chunk_ms: draft.time_to_first_chunk_ms,
    duration_ms: draft.duration_ms,
    overhead_us: draft.overhead_us,
    served_model: draft.served_model,
    provider_request_id: draft.provider_request_id,
    response_id: draft.response_id,
    finish_reason: draft.finish_reason,
    error_code: draft.error_code,
    cut_by: draft.cut_by,
    clamped: draft.clamped,
    quantities: draft.quantities,
    provenance: draft.provenance,
    modifiers: draft.modifiers,
    raw_usage: draft.raw_usage,
    doubts: draft.doubts,
    price_book_id: draft.price_book_id,
    override_price_book_id: draft.override_price_book_id,
    priced: draft.priced,
    unpriced_policy: draft.unpriced_policy,
    assumed: draft.assumed,
    line_items: draft.line_items,
    cost_nano_usd: draft.cost_nano_usd,
    leases: draft.leases,
    lease_totals: draft.lease_totals,
    unresolved: draft.unresolved,
    handed: draft.handed,
    held: draft.held,
    settlement_key: draft.settlement_key,
  } satisfies RestOf<UsageDraft>
  const ids = `"event_id":"${draft.event_id}","call_id":"${draft.call_id}"`
  const facts = membersOfFacts(draft)
  const tail = drawn ? new DrawnRowTail(drawn) : draft.drawn && new DrawnTail(draft.drawn)
  return { ids, facts, json: JSON.stringify(rest), tail }
}
