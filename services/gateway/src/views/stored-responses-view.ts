import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { type Bus, followBucket, type KvRecords, type KvView, openRecords } from '@sluice/bus'
import { BackgroundResponse, responseKey, StoredResponse } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'
import { counter } from '@sluice/telemetry'
import type { AdmittedCall } from '../call.ts'
import { Refusal } from '../refusal.ts'

const unrecorded = counter('gateway_background_unrecorded_total', 'Tries to record a background response that failed')

/** Responses waiting to be remembered while NATS is away; what comes on top cannot be asked for again. */
const maxWaiting = 10_000
/** How long a client whose response is safe waits until it may ask for it again. */
const rememberTimeoutMs = 2_000

/** What homes are to hear of a settled response, and when that is tried again. */
export type OwedWord = Required<Pick<BackgroundResponse, 'held' | 'owes_word' | 'next_look_at_ms'>>

/**
 * Who made which response, and which ones are still being made in the background: two KV buckets that all gateways own
 * together. The first is read by its key when a client asks; the second is followed, so that every gateway can settle.
 */
export class StoredResponses {
  readonly made: KvRecords<StoredResponse>
  readonly running: KvRecords<BackgroundResponse>
  readonly #view: KvView<BackgroundResponse>
  readonly #bus: Bus
  readonly #log: Logger
  readonly #stop = new AbortController()
  #waiting = 0

  private constructor(
    bus: Bus,
    log: Logger,
    stores: {
      made: KvRecords<StoredResponse>
      running: KvRecords<BackgroundResponse>
      view: KvView<BackgroundResponse>
    },
  ) {
    this.#bus = bus
    this.#log = log
    this.made = stores.made
    this.running = stores.running
    this.#view = stores.view
  }

  static async open(bus: Bus, log: Logger): Promise<StoredResponses> {
    return new StoredResponses(bus, log, {
      made: await openRecords(bus, 'stored-responses', StoredResponse),
      running: await openRecords(bus, 'background-responses', BackgroundResponse),
      view: await followBucket(bus, 'background-responses', BackgroundResponse, { log }),
    })
  }

  /** What is being made, with its key; the view is milliseconds behind. */
  underWay(): IterableIterator<[string, BackgroundResponse]> {
    return this.#view.entries()
  }

  /** @throws Refusal 503 where nobody can say who made a response */
  requireRecords(): void {
    if (!this.#bus.isConnected()) throw recordsAway()
  }

  /** The response of this id that this project made; undefined: there is none that it may know of. @throws Refusal 503 */
  async find(projectId: string, responseId: string): Promise<StoredResponse | undefined> {
    this.requireRecords()
    try {
      const found = (await this.made.get(keyOf(projectId, responseId)))?.value
      return found?.project_id === projectId && found.response_id === responseId ? found : undefined
    } catch (cause) {
      throw recordsAway(cause)
    }
  }

  /** Remembers who made a response, in its own time: nobody waits for it. */
  remember(call: AdmittedCall, responseId: string): void {
    void this.#remember(call, responseId)
  }

  async #remember(call: AdmittedCall, responseId: string): Promise<void> {
    if (this.#waiting >= maxWaiting) {
      this.#log.warn({ callId: call.callId }, 'a stored response is not remembered: too many wait for the bus')
      return
    }
    this.#waiting++
    await this.#untilDone(() => this.made.create(keyOf(projectOf(call), responseId), madeBy(call, responseId)))
    this.#waiting--
  }

  /** As `remember`, for a client that may ask for it at once: resolves when it is remembered, or will be later. */
  async rememberSoon(call: AdmittedCall, responseId: string): Promise<void> {
    await Promise.race([this.#remember(call, responseId), delay(rememberTimeoutMs, undefined, { ref: false })])
  }

  /**
   * Tries to record a background response, so that it is settled whatever becomes of this process. Done again it changes
   * nothing: what is settled already is settled again under the same id, which counts once.
   * @returns false: not this time
   */
  async register(job: BackgroundResponse): Promise<boolean> {
    try {
      await this.running.create(keyOf(job.identity.project_id, job.response_id), job)
      return true
    } catch (err) {
      unrecorded.inc()
      this.#log.warn({ err, callId: job.call_id }, 'a background response is not recorded yet')
      return false
    }
  }

  /** Its maker has gone without hearing of it: whoever looks at it next ends it. Tries until it works or this process ends. */
  async giveUp(key: string): Promise<void> {
    await this.#untilDone(async () => {
      const record = await this.running.get(key)
      if (!record || record.value.given_up) return
      const revision = await this.running.update(key, { ...record.value, given_up: true }, record.revision)
      if (revision === undefined) throw new Error('a look has moved the record')
    })
  }

  /** The provider has deleted it. Not forgotten, it is the provider's to say that there is none. */
  async forget(projectId: string, responseId: string): Promise<void> {
    const key = keyOf(projectId, responseId)
    try {
      const record = await this.made.get(key)
      if (record) await this.made.delete(key, record.revision)
    } catch (err) {
      this.#log.warn({ err }, 'a deleted response is not forgotten')
    }
  }

  /** Its event is in a journal: nobody has to look at it any more, whoever has moved its next look since. */
  async forgetSettled(key: string): Promise<void> {
    for (let record = await this.running.get(key); record; record = await this.running.get(key))
      if (await this.running.delete(key, record.revision)) return
  }

  /** Its event is in a journal, and homes are still to hear of it: nobody asks its provider any more, whoever has moved its next look. */
  async keepWord(key: string, word: OwedWord): Promise<void> {
    for (let record = await this.running.get(key); record; record = await this.running.get(key))
      if ((await this.running.update(key, { ...record.value, ...word }, record.revision)) !== undefined) return
  }

  async close(): Promise<void> {
    this.#stop.abort()
    await this.#view.close()
  }

  /** Tries until it works or this process ends. */
  async #untilDone(write: () => Promise<unknown>): Promise<void> {
    for (let tries = 0; ; tries++) {
      try {
        await write()
        return
      } catch (err) {
        if (this.#stop.signal.aborted) {
          this.#log.error({ err }, 'a stored response could not be recorded')
          return
        }
        await delay(Math.min(50 * 2 ** tries, 2_000), undefined, { signal: this.#stop.signal }).catch(() => {})
      }
    }
  }
}

/** Ids are the provider's: hashed, they fit a key whatever is in them. */
export function keyOf(projectId: string, responseId: string): string {
  return responseKey(projectId, createHash('sha256').update(responseId).digest('hex').slice(0, 40))
}

function projectOf(call: AdmittedCall): string {
  return call.principal.identity.project_id
}

function madeBy(call: AdmittedCall, responseId: string): StoredResponse {
  return {
    project_id: projectOf(call),
    response_id: responseId,
    access: call.route.access,
    call_id: call.callId,
    created_at_ms: call.admittedAtMs,
  }
}

/** What is recorded of a background response: all that its settlement needs. */
export function jobOf(call: AdmittedCall, responseId: string, nextLookAtMs: number): BackgroundResponse {
  return {
    response_id: responseId,
    access: call.route.access,
    paid_by: call.route.paidBy,
    served_by: call.route.servedBy,
    call_id: call.callId,
    identity: call.principal.identity,
    claimed: call.claimed,
    requested_model: call.requestedModel,
    streamed: call.streamed,
    admitted_at_ms: call.admittedAtMs,
    price_book_id: call.prices.book.id,
    ...(call.prices.override ? { override_price_book_id: call.prices.override.id } : {}),
    ...(call.principal.project.unpriced === 'assume_max' ? { unpriced_policy: 'assume_max' as const } : {}),
    estimated_input_tokens: call.estimatedInputTokens,
    next_look_at_ms: nextLookAtMs,
  }
}

function recordsAway(cause?: unknown): Refusal {
  return new Refusal(
    'records_unavailable',
    'This gateway cannot look up who made which response right now. Try again in a moment.',
    { retryAfterS: 1, cause },
  )
}
