import type { CallIdentity, UsageRecordedData } from '@sluice/contracts'
import type { UsageEstimate, UsageResult } from '@sluice/usage'
import { addCost, answerHeaders } from './answer-headers.ts'
import { type AdmittedCall, askedOf, isCharged } from './call.ts'
import type { Drains } from './drains.ts'
import { formatUsd } from './format-amount.ts'
import type { CutOrder, LiveCall } from './live-calls.ts'
import { describeFailure, mayHaveArrived } from './provider-failure.ts'
import { Refusal } from './refusal.ts'
import { estimateAsked, estimateUnanswered, replyShapes } from './reply-reader.ts'
import type { Answer } from './secured-answer.ts'
import type { Outcome } from './settle.ts'
import { maxParsedBytes, usageTailBytes } from './shapes/read-json.ts'
import type { BodyReader, CountedTokens, ReplyShape, StreamReader } from './shapes/reply-shape.ts'
import type { UpstreamController, UpstreamHandler } from './upstream/upstream-handler.ts'

/**
 * How far a reply is.
 * `waiting`: the provider has not answered; the client may still get any status.
 * `collecting`: a JSON body is kept until its last byte, so that its head can name the cost; any status is still open.
 * `passing`: bytes go to the client as they come; a stream is tapped beside it.
 * `silent`: the client is gone or has its end; the provider is read on for its usage, or has been stopped.
 * `settled`: the event is in the journal. Entered once, from every other phase.
 */
type Phase = 'waiting' | 'collecting' | 'passing' | 'silent' | 'settled'

/** What a CHECKPOINT says beside the usage. */
export interface CheckpointFacts {
  outputBytes: number
  httpStatus: number
  providerRequestId: string | undefined
}

export interface RelayDeps {
  /** Writes the CHECKPOINT of this call. */
  checkpoint: (usage: UsageResult, about: CheckpointFacts) => void
  /** `written` is called when the event survives this process; absent: it does when this returns. */
  settle: (outcome: Outcome, written?: (error?: Error) => void) => UsageRecordedData
  /** Writes a refusal as the answer. */
  refuse: (refusal: Refusal) => void
  /** Told of an error that is ours. */
  onFault: (error: unknown) => void
  /** Counts what the provider does not tell, once the reply has ended; a running one is told from its bytes. */
  readonly tokens: CountedTokens
  /** Places for providers that are read on. */
  readonly drains: Drains
  /** Longest time a provider is read on for a client that left. */
  readonly maxDrainMs: number
  /** Longest time a client may take nothing of what waits for it. */
  readonly maxStallMs: number
}

/** JSON bodies up to this size wait for their last byte; larger ones pass as they come. */
const maxCollectedBytes = 256 * 1024
/** Bytes of an unfinished event that are held back, so that a stream can end between two events at any moment. */
const maxHeldBytes = 256 * 1024
const checkpointBytes = 16 * 1024
const checkpointMs = 250
/** Between the first CHECKPOINTs of a stream: most streams that a kill finds are young, and would lose all but their beginning. */
const firstCheckpointsMs = [40, 60, 100]

/** Carries one attempt's reply from the provider to the client, meters it beside, and ends it cleanly whatever happens. */
export class Relay implements UpstreamHandler, LiveCall {
  readonly #deps: RelayDeps
  readonly #call: AdmittedCall
  readonly #response: Answer
  place = -1
  #controller: UpstreamController | undefined
  #stopReason: Error | undefined
  #phase: Phase = 'waiting'
  #clientGone = false
  #httpStatus = 0
  #headers: string[] = []
  #contentType = ''
  #providerRequestId: string | undefined
  #reader: StreamReader | undefined
  #body: BodyReader | undefined
  #chunks: Buffer[] = []
  #collected = 0
  #kept = 0
  #held: Buffer[] = []
  #heldBytes = 0
  /** The event under way was too large to hold back: its beginning is out. */
  #partPassed = false
  #overheadUs = 0
  #firstChunkMs: number | undefined
  #checkpointAt = 0
  #checkpoints = 0
  #sinceCheckpoint = 0
  #drainTimer: NodeJS.Timeout | undefined
  #isDraining = false
  #isHeld = false
  /** How the call ends as soon as it is no longer held. */
  #endLater: (() => void) | undefined
  #stallTimer: NodeJS.Timeout | undefined

  constructor(deps: RelayDeps, call: AdmittedCall, response: Answer) {
    this.#deps = deps
    this.#call = call
    this.#response = response
    call.pace?.start(refusal => this.cut({ refusal, style: 'soft' }))
    // Of all the events around a closed connection only this one, with this flag, means that the client has left.
    response.on('close', () => {
      if (!response.writableFinished) this.#onClientGone()
    })
    response.on('drain', () => {
      clearTimeout(this.#stallTimer)
      this.#resume()
    })
  }

  /** Nothing more is to come of it. */
  get isSettled(): boolean {
    return this.#phase === 'settled'
  }

  /** Ends a call that has no OPEN, and so no event. One that has its end has it. */
  abandon(refusal: Refusal): void {
    if (this.#phase === 'settled') return
    this.#phase = 'settled'
    this.#deps.refuse(refusal)
  }

  /** It will be ended without its provider's last word as soon as it may: its client has had its end, or has left. */
  get isGivenUp(): boolean {
    return this.#endLater !== undefined
  }

  /**
   * Until `release`, the provider is not stopped and nothing is settled, whoever leaves or gives orders: what it makes outlives
   * its connection, and is not known by its id yet.
   */
  hold(): void {
    this.#isHeld = this.#phase === 'waiting' || this.#phase === 'silent'
  }

  release(): void {
    this.#isHeld = false
    if (this.#phase !== 'settled') this.#endLater?.()
  }

  get identity(): CallIdentity {
    return this.#call.principal.identity
  }
  get budgets(): LiveCall['budgets'] {
    return this.#call.hold.budgets
  }
  get claimed(): LiveCall['claimed'] {
    return this.#call.claimed
  }
  get asked(): LiveCall['asked'] {
    return askedOf(this.#call)
  }
  get isCharged(): boolean {
    return isCharged(this.#call)
  }

  // ── the provider ──────────────────────────────────────────────────────────────────────────────────────────────────

  onRequestStart(controller: UpstreamController): void {
    this.#controller = controller
    this.#overheadUs = Math.round((performance.now() - this.#call.startedAt) * 1000)
    if (this.#stopReason) controller.abort(this.#stopReason)
  }

  onResponseStart(_controller: UpstreamController, status: number, headers: readonly string[]): void {
    this.#httpStatus = status
    this.#firstChunkMs = Math.max(0, Date.now() - this.#call.admittedAtMs)
    this.#providerRequestId = (headerOf(headers, 'x-request-id') ?? headerOf(headers, 'request-id'))?.slice(0, 128)
    this.#contentType = headerOf(headers, 'content-type') ?? ''
    const isStream = status === 200 && this.#contentType.startsWith('text/event-stream')
    if (isStream) this.#reader = this.#openReader()
    else if (status === 200) this.#body = this.#openBody()
    if (this.#phase !== 'waiting') return
    const soundType = this.#reader?.soundType
    this.#headers = answerHeaders(this.#call, withType(headers, soundType), this.#overheadUs)
    const declared = soundType === undefined ? Number(headerOf(headers, 'content-length') ?? 0) : 0
    if (isStream || declared > maxCollectedBytes || isHeardAtOnce(this.#contentType)) {
      this.#phase = 'passing'
      if (declared > 0) this.#headers.push('content-length', String(declared))
      this.#response.writeHead(status, this.#headers)
      // The head alone is worth sending where the first bytes take their time.
      setImmediate(() => {
        if (this.#phase === 'passing' && this.#collected === 0) this.#response.flushHeaders()
      })
    } else this.#phase = 'collecting'
  }

  onResponseData(_controller: UpstreamController, chunk: Buffer): void {
    if (this.#phase === 'settled') return
    this.#collected += chunk.length
    if (this.#reader) {
      this.#onStreamBytes(this.#reader, chunk)
      this.#pay(this.#reader)
    } else this.#onBodyBytes(chunk)
  }

  onResponseEnd(): void {
    if (this.#phase === 'settled') return
    if (this.#endLater) {
      this.#endLater()
      return
    }
    this.#held.push(...((this.#reader?.tap.flush() ?? []) as Buffer[]))
    const usage = this.#readUsage(true)
    const errorCode = this.#failureOfReply()
    const status = this.#clientGone ? 'aborted' : errorCode === undefined ? 'completed' : 'failed'
    const phase = this.#phase
    const isAnswer = status === 'completed' || (status === 'failed' && this.#httpStatus >= 400)
    if (phase === 'passing') this.#settle(status, usage, { errorCode }, () => this.#endPassing(errorCode !== undefined))
    else if (phase === 'collecting' && isAnswer)
      this.#settle(status, usage, { errorCode }, event => this.#answerCollected(event))
    else this.#settle(status, usage, { errorCode })
  }

  #pay(reader: StreamReader): void {
    const { outputBytes, outputPieces = 0 } = reader.tap
    this.#call.pace?.seen(outputBytes, outputPieces, () => this.#tapUsage(reader))
  }

  /** Why a reply that has come to its end is none: its status, an error inside its stream, its last words missing. */
  #failureOfReply(): string | undefined {
    if (this.#httpStatus >= 400) return `provider_${this.#httpStatus}`
    if (!this.#reader) return undefined
    const { failed, ended } = this.#reader.tap
    return failed ? 'provider_failed_in_stream' : ended ? undefined : 'provider_ended_early'
  }

  onResponseError(_controller: UpstreamController | undefined, error: Error): void {
    if (this.#phase === 'settled') return
    if (this.#endLater) {
      this.#endLater()
      return
    }
    const { reason, message, code } = describeFailure(error, this.#call.route.servedBy)
    if (reason === 'internal') this.#deps.onFault(error.cause)
    // It hung up before it had said anything: there is nothing that it could charge.
    const isUnanswered =
      reason === 'provider_unreachable' &&
      this.#httpStatus === 0 &&
      !this.#clientGone &&
      // Where all that a call can cost is held, what may have arrived may have been worked on.
      !(this.#call.money?.isExact === true && mayHaveArrived(error))
    // What could not be read once is not read again.
    const usage = isUnanswered ? noUsage : reason === 'internal' ? this.#estimateSent() : this.#readUsage()
    const { phase } = this.#settle(this.#clientGone ? 'aborted' : 'failed', usage, { errorCode: code })
    const refusal = new Refusal(reason, message, { cause: error })
    if (phase === 'waiting' || phase === 'collecting') this.#deps.refuse(refusal)
    else if (phase === 'passing') this.#breakOff({ refusal, style: 'explicit' }, usage)
  }

  // ── the client, and orders to stop ────────────────────────────────────────────────────────────────────────────────

  #onClientGone(): void {
    this.#clientGone = true
    if (this.#phase === 'settled' || this.#phase === 'silent') return
    // Where all that a call can cost is held, its end must be known.
    const mustDrain = this.#call.money?.isExact === true
    const policy = this.#call.principal.project.on_client_abort[this.#call.endpoint.dialect]
    if ((policy === 'cancel' && !mustDrain) || !this.#deps.drains.begin()) {
      this.#endAs('aborted', 'client_closed')
      return
    }
    this.#isDraining = true
    this.#phase = 'silent'
    this.#resume()
    this.#drainTimer = setTimeout(() => this.#endAs('aborted', 'drain_timeout'), this.#deps.maxDrainMs)
  }

  /** Ends the call without its provider's last word: now or, where it is held, once that may be. */
  #endAs(status: 'aborted' | 'failed', errorCode: string): void {
    this.#end(() => {
      this.#settle(status, this.#readUsage(), { errorCode })
      this.#stopProvider(errorCode)
    })
  }

  #end(ending: () => void): void {
    if (this.#isHeld) {
      this.#phase = 'silent'
      this.#endLater = ending
    } else ending()
  }

  /** Ends a held call for a reason of ours. */
  fail(refusal: Refusal): void {
    if (this.#phase === 'settled') return
    const isAnswered = this.#phase !== 'waiting'
    if (!this.#endLater) this.#endAs('failed', refusal.reason)
    if (!isAnswered) this.#deps.refuse(refusal)
  }

  /** Ends the call now, in its dialect's terms; what the provider has generated so far is settled. */
  cut(order: CutOrder): void {
    if (this.#phase === 'settled') return
    if (!this.#isHeld) {
      this.#cutNow(order)
      return
    }
    const isAnswered = this.#phase !== 'waiting'
    this.#end(() => this.#cutNow(order))
    if (!isAnswered) this.#deps.refuse(order.refusal)
  }

  #cutNow(order: CutOrder): void {
    const { budget, reason } = order.refusal
    const cutBy = { reason, ...(budget ? { budget_id: budget.budget_id, copy: budget.copy } : {}) }
    try {
      const usage = this.#readUsage()
      const { phase } = this.#settle('cut', usage, { cutBy })
      this.#stopProvider(reason)
      if (phase === 'waiting' || phase === 'collecting') this.#deps.refuse(order.refusal)
      else if (phase === 'passing') this.#breakOff(order, usage)
    } catch (error) {
      // What cannot be ended in good order is ended all the same: money or permission is gone.
      this.#deps.onFault(error)
      try {
        if (!this.isSettled) this.#settle('cut', this.#estimateSent(), { cutBy })
      } finally {
        this.#stopProvider(reason)
        this.#response.destroy()
      }
    }
  }

  /** After settling: stopping tells an error at once, which is no news then. */
  #stopProvider(why: string): void {
    this.#stopReason = new Error(why)
    this.#controller?.abort(this.#stopReason)
  }

  // ── bytes ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  #onStreamBytes(reader: StreamReader, chunk: Buffer): void {
    const isFirst = this.#checkpointAt === 0
    if (this.#call.withholdUsage || reader.soundType !== undefined) {
      const parts = reader.tap.forward(chunk)
      this.#checkpointIfDue(reader, chunk.length, isFirst)
      for (const part of parts) this.#send(part)
      return
    }
    const whole = reader.tap.write(chunk)
    this.#checkpointIfDue(reader, chunk.length, isFirst)
    if (whole > 0) {
      this.#sendHeld()
      this.#partPassed = false
      this.#send(whole === chunk.length ? chunk : chunk.subarray(0, whole))
    }
    if (whole < chunk.length) {
      // A view would keep all of its chunk in memory until the event's end has come.
      this.#held.push(whole === 0 ? chunk : Buffer.from(chunk.subarray(whole)))
      this.#heldBytes += chunk.length - whole
      if (this.#heldBytes > maxHeldBytes) {
        this.#sendHeld()
        this.#partPassed = true
      }
    }
  }

  /** The first one comes before the client's first byte: what a client has seen is known to the journal. */
  #checkpointIfDue(reader: StreamReader, bytes: number, isFirst: boolean): void {
    this.#sinceCheckpoint += bytes
    const now = performance.now()
    const dueMs = firstCheckpointsMs[this.#checkpoints - 1] ?? checkpointMs
    if (!isFirst && this.#sinceCheckpoint < checkpointBytes && now - this.#checkpointAt < dueMs) return
    this.#checkpointAt = now
    this.#checkpoints++
    this.#sinceCheckpoint = 0
    this.#deps.checkpoint(this.#tapUsage(reader), {
      outputBytes: reader.tap.outputBytes,
      httpStatus: this.#httpStatus,
      providerRequestId: this.#providerRequestId,
    })
  }

  #onBodyBytes(chunk: Buffer): void {
    this.#body?.write(chunk)
    if (this.#body && this.#phase !== 'collecting') {
      this.#send(chunk)
      return
    }
    this.#chunks.push(chunk)
    this.#kept += chunk.length
    if (this.#phase === 'collecting' && this.#collected > maxCollectedBytes) {
      this.#phase = 'passing'
      this.#response.writeHead(this.#httpStatus, this.#headers)
      for (const kept of this.#chunks) this.#send(kept)
    } else if (this.#phase === 'passing') this.#send(chunk)
    if (this.#collected > maxCollectedBytes && (this.#isReadPassing || this.#collected > maxParsedBytes))
      this.#keepLess()
  }

  /** What passes is not kept as well, where its kind can be read so: a slow reader would hold it for minutes. */
  get #isReadPassing(): boolean {
    const shape: ReplyShape = replyShapes[this.#call.endpoint.shape]
    return this.#httpStatus === 200 && shape.openLarge !== undefined
  }

  /** A large body is read as it passes; of one that its kind does not read so, the end is kept. */
  #keepLess(): void {
    const large = this.#body ? undefined : this.#openLarge()
    for (const kept of large ? this.#chunks : []) large?.write(kept)
    this.#body ??= large
    if (this.#body) this.#chunks = []
    while (this.#chunks.length > 0 && this.#kept - (this.#chunks[0]?.length ?? 0) >= usageTailBytes)
      this.#kept -= this.#chunks.shift()?.length ?? 0
  }

  #send(bytes: Uint8Array): void {
    if (this.#phase !== 'passing') return
    // A slow reader slows the provider down, not our memory up.
    if (this.#response.write(bytes)) return
    this.#controller?.pause()
    this.#call.pace?.pause()
    // One that has stopped reading would hold a connection to the provider for ever: it counts as gone.
    clearTimeout(this.#stallTimer)
    this.#stallTimer = setTimeout(() => this.#response.destroy(), this.#deps.maxStallMs)
  }

  #resume(): void {
    this.#call.pace?.resume()
    this.#controller?.resume()
  }

  #sendHeld(): void {
    for (const bytes of this.#held) this.#send(bytes)
    this.#held = []
    this.#heldBytes = 0
  }

  #endPassing(hasFailed: boolean): void {
    // Sound without its end would pass for the whole: the broken connection says that it is not.
    if (hasFailed && this.#reader?.soundType !== undefined) return void this.#response.destroy()
    for (const bytes of this.#held) this.#response.write(bytes)
    this.#response.end(this.#receipt)
  }

  /** Ends a reply that is passing. A body cannot be ended in words; its broken connection says so. */
  #breakOff(order: CutOrder, usage: UsageResult): void {
    if (this.#reader && this.#reader.soundType === undefined)
      this.#response.end(this.#ending(this.#reader, order, usage))
    else this.#response.destroy()
  }

  #receipt: string | undefined

  #ending(reader: StreamReader, order: CutOrder, usage: UsageResult): string {
    const { callId, withholdUsage } = this.#call
    // A tap that withholds also holds back: it has nothing left inside an event where that event's beginning is out.
    const isTorn = withholdUsage ? !reader.tap.atEventBoundary && reader.tap.flush().length === 0 : this.#partPassed
    const ending = {
      ...order,
      style: isTorn ? 'explicit' : order.style,
      callId,
      usage,
      clientWantsUsage: !withholdUsage,
    }
    return (isTorn ? '\n\n' : '') + reader.end(ending) + (this.#receipt ?? '')
  }

  // ── usage ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  #openReader(): StreamReader {
    const { endpoint, requestedModel: model, withholdUsage, asked, media } = this.#call
    const inputTokens = this.#call.estimatedInputTokens
    return replyShapes[endpoint.shape].openStream({ model, withholdUsage, inputTokens, asked, media })
  }

  #openBody(): BodyReader | undefined {
    const { endpoint, asked, media, estimatedInputTokens: inputTokens } = this.#call
    const shape: ReplyShape = replyShapes[endpoint.shape]
    return shape.openBody?.({ inputTokens, asked, media })
  }

  #openLarge(): BodyReader | undefined {
    const { endpoint, asked, media, sound, estimatedInputTokens: inputTokens } = this.#call
    const shape: ReplyShape = replyShapes[endpoint.shape]
    return shape.openLarge?.({ inputTokens, asked, media, sound, tokens: this.#deps.tokens })
  }

  #tapUsage({ tap }: StreamReader, estimate: UsageEstimate = {}): UsageResult {
    const { estimatedInputTokens: inputTokens, sound } = this.#call
    const usage = tap.usage({ inputTokens, inputAudioTokens: sound?.heardTokens, ...estimate })
    const isNothing = usage.raw_usage === null && Object.keys(usage.quantities).length === 0
    // Broken before its first event: what was sent may have been worked on. A provider that said it failed has not.
    return isNothing && !tap.ended && !tap.failed && !this.#call.endpoint.free ? estimateAsked(this.#call) : usage
  }

  /** What has not been told is counted now, rather than told from bytes. */
  #countedUsage(reader: StreamReader): UsageResult {
    const usage = this.#tapUsage(reader)
    const { in_text: input, out_text: output } = usage.provenance
    const { outputBytes, outputSample } = reader.tap
    const counted = {
      inputTokens: input === 'estimated' ? this.#deps.tokens.ofRequest() : undefined,
      outputTokens:
        output === 'estimated' && outputSample ? this.#deps.tokens.ofText(outputBytes, outputSample) : undefined,
    }
    if (counted.inputTokens === undefined && counted.outputTokens === undefined) return usage
    return this.#tapUsage(reader, {
      inputTokens: counted.inputTokens ?? this.#call.estimatedInputTokens,
      ...(counted.outputTokens !== undefined && { outputTokens: counted.outputTokens }),
    })
  }

  /** The input, where it was sent. */
  #estimateSent(): UsageResult {
    return this.#controller && !this.#call.endpoint.free ? estimateAsked(this.#call) : noUsage
  }

  /** What is known now: measured where the provider has said it, else estimated; an error before any work costs nothing. */
  #readUsage(isWhole = false): UsageResult {
    // Nothing was sent: nothing is charged. What was sent and is given up by us may have been worked on, answered or not.
    if (!this.#controller || this.#httpStatus >= 400) return noUsage
    if (this.#reader) return this.#countedUsage(this.#reader)
    if (this.#body) return this.#body.usage(isWhole)
    const { endpoint, asked, sound, estimatedInputTokens: inputTokens } = this.#call
    if (this.#httpStatus === 0) return endpoint.free ? noUsage : estimateUnanswered(this.#call)
    const kept = this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks)
    const facts = {
      wholeBytes: this.#collected,
      contentType: this.#contentType,
      inputTokens,
      asked,
      sound,
      isWhole,
      tokens: this.#deps.tokens,
    }
    return replyShapes[endpoint.shape].read(kept, facts)
  }

  /**
   * Into the journal.
   * @param answer what of the answer waits until the event is safe there
   * @returns the phase the reply was in
   */
  #settle(
    status: Outcome['status'],
    usage: UsageResult,
    how: { errorCode?: string | undefined; cutBy?: Outcome['cutBy'] },
    answer?: (event: UsageRecordedData) => void,
  ): { phase: Phase } {
    const phase = this.#phase
    this.#phase = 'settled'
    if (this.#isDraining) this.#deps.drains.end()
    clearTimeout(this.#drainTimer)
    clearTimeout(this.#stallTimer)
    this.#call.pace?.stop()
    const outcome: Outcome = {
      status,
      httpStatus: this.#httpStatus,
      usage,
      drained: phase === 'silent',
      errorCode: how.errorCode,
      cutBy: how.cutBy,
      providerRequestId: this.#providerRequestId,
      timeToFirstChunkMs: this.#firstChunkMs,
      overheadUs: this.#overheadUs,
      finishedAtMs: Date.now(),
    }
    if (this.#reader) outcome.outputBytes = this.#reader.tap.outputBytes
    const event = this.#deps.settle(outcome, answer && (error => (error ? this.#response.destroy() : answer(event))))
    if (this.#call.wantsReceipt && this.#reader && this.#reader.soundType === undefined)
      this.#receipt = receiptComment(event)
    return { phase }
  }

  #answerCollected(event: UsageRecordedData): void {
    addCost(this.#headers, event.cost_nano_usd)
    const body = this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks)
    this.#headers.push('content-length', String(body.length))
    this.#response.writeHead(this.#httpStatus, this.#headers)
    this.#response.end(body)
  }
}

/** The headers with another content type; without one, as they are. */
function withType(headers: readonly string[], type: string | undefined): readonly string[] {
  if (type === undefined) return headers
  return headers.map((part, at) => (at % 2 === 1 && headers[at - 1] === 'content-type' ? type : part))
}

/** Sound and pictures are of use before their last byte. */
function isHeardAtOnce(contentType: string): boolean {
  return (
    contentType.startsWith('audio/') ||
    contentType.startsWith('image/') ||
    contentType.startsWith('video/') ||
    contentType.startsWith('application/octet-stream')
  )
}

/** @param headers name in lower case, value, name, value … */
function headerOf(headers: readonly string[], name: string): string | undefined {
  for (let i = 0; i < headers.length; i += 2) if (headers[i] === name) return headers[i + 1]
  return undefined
}

const noUsage: UsageResult = { quantities: {}, provenance: {}, modifiers: {}, raw_usage: null }

/** The last comment of a stream whose client asked for it; clients skip comments. */
function receiptComment(event: UsageRecordedData): string {
  return `: sluice-receipt ${JSON.stringify({ call_id: event.call_id, cost_usd: formatUsd(event.cost_nano_usd), quantities: event.quantities, provenance: event.provenance })}\n\n`
}
