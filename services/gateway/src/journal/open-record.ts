import type {
  BackgroundResponse,
  Quantities,
  QuantityProvenance,
  UsageModifiers,
  UsageRecordedData,
} from '@sluice/contracts'
import type { HeldRow, JournaledHold } from '@sluice/leases'

/** What a journal must know of an attempt before it goes to its provider: enough to make its event if we die. */
export interface OpenRecord
  extends Pick<
    UsageRecordedData,
    | 'event_id'
    | 'call_id'
    | 'attempt'
    | 'identity'
    | 'claimed'
    | 'paid_by'
    | 'dialect'
    | 'endpoint'
    | 'streamed'
    | 'requested_model'
    | 'provider'
    | 'served_by'
    | 'admitted_at_ms'
    | 'price_book_id'
    | 'override_price_book_id'
    | 'unpriced_policy'
    | 'leases'
    | 'held'
  > {
  /** The input as far as it can be told from the request. Counts where the gateway dies before the provider says more. */
  estimated_input: Quantities
  /** What of the request chooses its rate: of an image its size and quality. Absent: nothing does. */
  asked_modifiers?: UsageModifiers
  /** The realtime call that it is a turn of, and the provider's id of the response or item that is metered. */
  in_call?: { call_id: string; turn_id: string }
  /** Money of hard budgets that it holds. Absent: none. */
  holds?: readonly JournaledHold[]
  /** Who has that money when it ends, or dies: what it begins outlives it. Absent: nobody. */
  holder?: string
}

/** An OPEN as it is given to be written. */
export interface OpeningRecord extends OpenRecord {
  /** Instead of `holds`: the same, told by leases that many attempts hold money of. */
  row?: HeldRow
}

/** More money for a running attempt: of each budget that is named, all that it holds of it from now on. */
export interface ExtendRecord {
  event_id: string
  holds: readonly JournaledHold[]
}

/** As it is written. `number`: in its attempt, from 1; 0: it says what an OPEN should have said. */
export interface NumberedExtend extends ExtendRecord {
  number: number
}

/** Quantities that another model than the attempt's has used: they have its prices. */
export interface ModelPart {
  model: string
  quantities: Quantities
}

/** What a running attempt has used so far. */
export interface CheckpointRecord {
  event_id: string
  at_ms: number
  output_bytes: number
  /** Input as measured, where the provider has said it, else estimated; output estimated from what was relayed. */
  quantities: Quantities
  provenance: QuantityProvenance
  /** Tier, geography, speed, as far as the provider has said them: they choose the rate. */
  modifiers?: UsageModifiers
  /** What other models than the attempt's have used of the quantities. */
  parts?: ModelPart[]
  served_model?: string
  response_id?: string
  provider_request_id?: string
  http_status: number
  /** The attempt has begun a response in the background: what that costs is settled under its id, and this attempt is free. */
  background?: BackgroundResponse
}

/** Sees to it that a background response is settled under its id, whoever knew of it before. What throws is tried again later. */
export type RecordBackground = (job: BackgroundResponse) => Promise<void>

/**
 * Called before the attempts that an ended run left open are settled, with all of them: others may go on with what it had begun.
 * What throws is tried again later.
 */
export type ReleaseRun = (run: { gatewayId: string; epoch: number; unsettled: readonly OpenRecord[] }) => Promise<void>

/**
 * Whether what an attempt was to begin is on record, so that its holder speaks of its money. Without a record nothing was asked for.
 * What throws is tried again later.
 */
export type IsBegun = (attempt: Pick<OpenRecord, 'event_id'>) => Promise<boolean>

/** An event before it has a place in a series. */
export type UsageDraft = Omit<UsageRecordedData, 'gateway_id' | 'epoch' | 'partition' | 'seq'>

/** A draft before it has a price. */
export type UnratedDraft = Omit<UsageDraft, 'priced' | 'assumed' | 'line_items' | 'cost_nano_usd'>
export type DraftRating = Pick<UsageDraft, 'priced' | 'assumed' | 'line_items' | 'cost_nano_usd'>

/** Prices a draft with the books it names. What throws is tried again later; a book that is gone for ever is `priced: false`. */
export type RateDraft = (
  draft: UnratedDraft,
  parts?: readonly ModelPart[] | undefined,
) => DraftRating | Promise<DraftRating>

/** In 1 each OPEN says all by itself, and events name their leases in full. Readers know both. */
export const journalFormats = [1, 2] as const

/** First record of a segment. `last[p]`: the last number of partition p before this segment; older ones may be gone. */
export interface HeaderRecord {
  format: (typeof journalFormats)[number]
  gateway_id: string
  epoch: number
  segment: number
  last: readonly number[]
  created_at_ms: number
}

/** Last record of an epoch. */
export interface EndRecord {
  last: readonly number[]
  ended_by: string
  at_ms: number
}
