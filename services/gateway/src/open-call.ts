import type { AdmittedCall } from './call.ts'
import type { OpeningRecord } from './journal/journal.ts'
import { estimateAsked } from './reply-reader.ts'

/** What the journal must know of a call before anything of it goes to a provider, so that whoever finds it can settle it. */
export function openRecordOf(call: AdmittedCall): OpeningRecord {
  const { route, prices, principal, endpoint } = call
  // Optional members are set, not spread: that is done for every call.
  const record: OpeningRecord = {
    event_id: call.eventId,
    call_id: call.callId,
    attempt: call.attempt,
    identity: principal.identity,
    claimed: call.claimed,
    paid_by: route.paidBy,
    dialect: endpoint.dialect,
    endpoint: endpoint.name,
    streamed: call.streamed,
    requested_model: call.requestedModel,
    provider: route.provider,
    served_by: route.servedBy,
    admitted_at_ms: call.admittedAtMs,
    price_book_id: prices.book.id,
    estimated_input: endpoint.free ? {} : estimateAsked(call).quantities,
    leases: [],
    held: [],
  }
  if (call.asked && !endpoint.free && Object.keys(call.asked.modifiers).length > 0)
    record.asked_modifiers = call.asked.modifiers
  if (principal.project.unpriced === 'assume_max') record.unpriced_policy = 'assume_max'
  if (prices.override) record.override_price_book_id = prices.override.id
  if (call.money) {
    const row = call.money.heldRow
    if (row) record.row = row
    else record.holds = call.money.journaled
  }
  if (call.holder) record.holder = call.holder
  if (call.inCall) record.in_call = { call_id: call.inCall.callId, turn_id: call.inCall.turnId }
  return record
}
