import { randomUUIDv7 } from 'node:crypto'
import type { CallIdentity, UsageRecordedData } from '@sluice/contracts'
import type { UsageResult } from '@sluice/usage'
import { type AdmittedCall, askedOf, isCharged } from '../call.ts'
import type { CutOrder, LiveCall } from '../live-calls.ts'
import { openRecordOf } from '../open-call.ts'
import { meteringUnavailable, type Refusal } from '../refusal.ts'
import { estimateAsked } from '../reply-reader.ts'
import type { GatewayDeps } from '../request-path.ts'
import { type Outcome, settle } from '../settle.ts'

export type TurnDeps = Pick<GatewayDeps, 'journal' | 'containers' | 'liveCalls' | 'onSettled'>

/** What watches a turn's events. */
export interface TurnReader {
  usage: () => UsageResult
  /** The same at its end: what nobody has told is counted then, where `usage` tells it from bytes. */
  countedUsage?: () => UsageResult
  /** Bytes of text said so far, for the judgement of what the provider tells. */
  readonly outputBytes: number
  /** In so many pieces it came; absent: that says nothing of its tokens. */
  readonly outputPieces?: number
}

const checkpointBytes = 16 * 1024
const checkpointMs = 250

/** One turn of a socket: an attempt with an OPEN, CHECKPOINTs and one settlement, whatever becomes of its socket. */
export class Turn implements LiveCall {
  readonly call: AdmittedCall
  place = -1
  /** Bound when the provider names the response. */
  responseId: string | undefined
  /** Why its provider was told to cancel it: whoever leaves before that has answered did not end it. */
  cancelledFor: Refusal | undefined
  /** Tells how this turn is ended when money or permission goes. */
  onCut: (order: CutOrder) => void = () => {}
  /** Called where the journal was told what the client must not hear before it is secured: how it begins, how it ended. */
  onRecorded: () => void = () => {}
  /** Why nothing of it stands in the journal although it runs: its session has to end. */
  readonly unrecorded: Refusal | undefined
  readonly #deps: TurnDeps
  readonly #reader: TurnReader
  #isSettled = false
  /** How far it has come: one that has not left costs nothing, whatever ends it. */
  #stage: 'opened' | 'sent' | 'begun'
  #overheadUs = 0
  #firstEventMs: number | undefined
  #checkpointAt = 0
  #sinceCheckpoint = 0

  /**
   * The OPEN stands in the journal when this returns. One that the provider has `begun` already is settled by its CLOSE, also
   * where no OPEN could be written.
   * @throws JournalUnavailableError: the turn must not be sent
   */
  constructor(deps: TurnDeps, call: AdmittedCall, reader: TurnReader, stage: 'opened' | 'begun' = 'opened') {
    this.#deps = deps
    this.call = call
    this.#reader = reader
    this.#stage = stage
    call.pace?.start(refusal => this.cut({ refusal, style: 'soft' }))
    const record = openRecordOf(call)
    if (stage === 'begun') {
      const unavailable = deps.journal.openBegun(record)
      this.unrecorded = unavailable && meteringUnavailable(unavailable)
    } else deps.journal.open(record)
    deps.liveCalls.add(this)
  }

  get identity(): CallIdentity {
    return this.call.principal.identity
  }
  get budgets(): LiveCall['budgets'] {
    return this.call.hold.budgets
  }
  get claimed(): LiveCall['claimed'] {
    return this.call.claimed
  }
  get asked(): LiveCall['asked'] {
    return askedOf(this.call)
  }
  get isCharged(): boolean {
    return isCharged(this.call)
  }
  get isSettled(): boolean {
    return this.#isSettled
  }
  /** What is known of its use now. */
  get usage(): UsageResult {
    return this.#reader.usage()
  }

  cut(order: CutOrder): void {
    if (!this.#isSettled) this.onCut(order)
  }

  /** It has left for the provider. */
  sent(): void {
    this.#stage = 'sent'
    this.#overheadUs = Math.round((performance.now() - this.call.startedAt) * 1000)
  }

  /** An event of it has come: what is known is in the journal before the client sees the first, then from time to time. */
  seen(bytes: number): void {
    if (this.#isSettled) return
    this.#stage = 'begun'
    this.call.pace?.seen(this.#reader.outputBytes, this.#reader.outputPieces ?? 0, () => this.#reader.usage())
    if (this.#isSettled) return
    const now = performance.now()
    const isFirst = this.#firstEventMs === undefined
    this.#firstEventMs ??= Math.max(0, Date.now() - this.call.admittedAtMs)
    this.#sinceCheckpoint += bytes
    if (!isFirst && this.#sinceCheckpoint < checkpointBytes && now - this.#checkpointAt < checkpointMs) return
    this.#checkpointAt = now
    this.#sinceCheckpoint = 0
    const usage = this.#reader.usage()
    this.#deps.journal.checkpoint({
      event_id: this.call.eventId,
      at_ms: Date.now(),
      output_bytes: this.#reader.outputBytes,
      quantities: usage.quantities,
      provenance: usage.provenance,
      modifiers: usage.modifiers,
      ...(usage.parts === undefined ? {} : { parts: usage.parts }),
      ...(usage.served_model === undefined ? {} : { served_model: usage.served_model }),
      ...(usage.response_id === undefined ? {} : { response_id: usage.response_id }),
      http_status: 200,
    })
    if (isFirst) this.onRecorded()
  }

  /** Into the journal, once. */
  settle(
    status: Outcome['status'],
    how: {
      usage?: UsageResult
      errorCode?: string | undefined
      cutBy?: Outcome['cutBy']
      httpStatus?: number
      drained?: boolean
    } = {},
  ): UsageRecordedData | undefined {
    if (this.#isSettled) return undefined
    const isLeft = status === 'aborted' || how.errorCode === 'provider_ended_early'
    if (isLeft && this.cancelledFor) return this.settleCut({ refusal: this.cancelledFor })
    this.#isSettled = true
    this.call.pace?.stop()
    this.#deps.liveCalls.remove(this)
    const outcome: Outcome = {
      status,
      httpStatus: how.httpStatus ?? (this.#stage === 'opened' ? 0 : 200),
      usage: how.usage ?? this.#usageAtEnd(status, how.errorCode),
      outputBytes: this.#reader.outputBytes,
      drained: how.drained ?? false,
      errorCode: how.errorCode,
      cutBy: how.cutBy,
      providerRequestId: undefined,
      timeToFirstChunkMs: this.#firstEventMs,
      overheadUs: this.#overheadUs,
      finishedAtMs: Date.now(),
    }
    const event = settle(this.#deps, this.call, outcome)
    this.onRecorded()
    this.#deps.onSettled(this.call, event, outcome)
    return event
  }

  /**
   * Of a turn that was sent and never answered: a provider that hangs up charges nothing; where client or gateway give it up
   * it may have been worked on.
   */
  #usageAtEnd(status: Outcome['status'], errorCode: string | undefined): UsageResult {
    if (this.#stage === 'opened') return nothingUsed
    const usage = this.#reader.countedUsage?.() ?? this.#reader.usage()
    if (this.#stage === 'begun' || usage.raw_usage !== null) return usage
    // Where all that a turn can cost is held, what may have arrived may have been worked on.
    const mayBeWorkedOn = this.call.money?.isExact === true
    if (status === 'failed' && errorCode === 'provider_ended_early' && !mayBeWorkedOn) return nothingUsed
    return Object.keys(usage.quantities).length === 0 ? { ...usage, ...estimateAsked(this.call) } : usage
  }

  /** By an order from outside. */
  settleCut({ refusal }: Pick<CutOrder, 'refusal'>): UsageRecordedData | undefined {
    const { reason, budget } = refusal
    return this.settle('cut', {
      cutBy: { reason, ...(budget ? { budget_id: budget.budget_id, copy: budget.copy } : {}) },
    })
  }
}

/**
 * Waits, in a mode where calls do, until a turn's OPEN is as safe as that mode promises. It may have been ended since.
 * @throws JournalUnavailableError: the turn is settled as never sent
 */
export async function secured(journal: TurnDeps['journal'], turn: Turn): Promise<void> {
  try {
    await journal.secured?.()
  } catch (error) {
    if (turn.isSettled) return
    turn.settle('failed', { errorCode: 'metering_unavailable' })
    throw error
  }
}

const nothingUsed: UsageResult = { quantities: {}, provenance: {}, modifiers: {}, raw_usage: null }

/** Ids of one attempt. */
export function newAttempt(): { callId: string; eventId: string } {
  return { callId: randomUUIDv7(), eventId: randomUUIDv7() }
}
