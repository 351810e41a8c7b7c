import {
  estimateInputTokens,
  openResponsesTap,
  type ResponsesTap,
  type UsageEstimate,
  type UsageResult,
} from '@sluice/usage'
import { boundWholeTurn } from '../bounds/realtime-bound.ts'
import type { AdmittedCall } from '../call.ts'
import { endResponses } from '../endings/end-responses.ts'
import { type BodySample, estimateBodyTokens, sampleBody } from '../estimate-body.ts'
import { codexLimitsEvent, usedParts } from '../limit-headers.ts'
import type { CutOrder, LiveCall } from '../live-calls.ts'
import { allowNamedModels } from '../named-models/allow-named-models.ts'
import { tokensPerBinaryPart } from '../read-request.ts'
import { rememberMade } from '../references/remember-made.ts'
import { requireOwnReferences } from '../references/require-own-references.ts'
import { isOfBudgets, Refusal } from '../refusal.ts'
import type { RefusalAnswer } from '../refusal-answer.ts'
import { estimateAsked } from '../reply-reader.ts'
import { booksOf } from '../request-path.ts'
import { admitTurn, proveSocket, recordStartedTurn } from './admit-turn.ts'
import {
  type ClientEvent,
  isKept,
  isWarmUp,
  modelsOfCreate,
  namedModelsOf,
  readClientEvent,
  referencesOfCreate,
  textMember,
} from './client-event.ts'
import { responsesErrorEvent } from './error-event.ts'
import { payForTurn } from './pay-for-turn.ts'
import { RecentIds } from './recent-ids.ts'
import { type ClientFrameNames, maxTurns, SocketSession } from './socket-session.ts'
import { newAttempt, Turn } from './turn.ts'
import { UpstreamRefusal } from './upstream-socket.ts'

type ServerEvent = Record<string, unknown>

interface ResponsesTurn {
  turn: Turn
  tap: ResponsesTap
  /** Runs from an error that was told while it ran: where nothing of it follows, the error was its end. */
  failing: NodeJS.Timeout | undefined
  /** The provider keeps the response beyond this socket. */
  isKept: boolean
}

/** What is kept of a `response.create` while its turn runs. */
interface AskedResponse {
  streamId: string | undefined
  isKept: boolean
  /** By which its input is counted; undefined where nobody asked. */
  sample: BodySample | undefined
}

/** Turns with the same `stream_id`: the provider works on one after the other. */
interface Lane {
  waiting: ResponsesTurn[]
  active: ResponsesTurn | undefined
}

const terminal = new Set([
  'response.completed',
  'response.incomplete',
  'response.failed',
  'response.cancelled',
  'response.done',
])
/** How long a turn may be silent behind an error before that is taken for its end. */
const failingMs = 5_000

/**
 * `/v1/responses` as a socket, many turns on one connection. Each `response.create` is admitted, opened and settled like a
 * call; which events are whose is told by lane and response id, and a response that ends twice counts once.
 */
export class ResponsesSession extends SocketSession {
  readonly #lanes = new Map<string, Lane>()
  readonly #settled = new RecentIds(256)
  /** Responses that were made on this socket: each turn may go on from them. */
  readonly #made = new RecentIds(1_024)

  /** A socket without a turn costs nothing: only turns meet budgets. */
  get budgets(): LiveCall['budgets'] {
    return []
  }

  /** A stop is lifted again: it ends turns and refuses the next, and the socket stays. */
  override cut(order: CutOrder): void {
    const { reason } = order.refusal
    if (reason !== 'stopped_by_admin' && reason !== 'balance_exhausted') super.cut(order)
  }

  // ── one turn, top to bottom: read → admit → open → send → watch → settle ────────────────────────────────────────────

  protected onClientFrame(data: Buffer, isBinary: boolean): void | Promise<void> {
    let names: ClientFrameNames = {}
    try {
      const event = readClientEvent(data)
      if (event.type !== 'response.create') {
        if (!this.upstream)
          throw new Refusal('invalid_request', `No turn is running that "${event.type}" could be for.`)
        this.#allowNamed(event)
        this.toUpstream(data, isBinary)
        return
      }
      names = { streamId: textMember(event, 'stream_id') }
      const models = modelsOfCreate(event)
      if (models.length === 0 && this.context.model !== undefined) models.push(this.context.model)
      names.model = models[0]
      if (this.leaving) throw this.leaving
      if (this.runningTurns().length >= maxTurns)
        throw new Refusal('overloaded', `At most ${maxTurns} turns may run on one socket. Wait for one to end.`)
      return this.#admit(event, models, names, data, isBinary)
    } catch (error) {
      this.#refuse(error, names)
    }
  }

  /** What is no turn may steer one, and bring tools along. @throws Refusal */
  #allowNamed(event: ClientEvent): void {
    const named = namedModelsOf(event)
    if (named.length === 0) return
    const { match, endpoint } = this.context
    const nowMs = Date.now()
    const principal = proveSocket(this.deps, this.context, nowMs)
    const prices = booksOf(this.deps.prices, principal, nowMs)
    allowNamedModels(principal, match.dialect, named, prices, endpoint.shape)
  }

  #admit(
    event: ClientEvent,
    models: string[],
    names: ClientFrameNames,
    data: Buffer,
    isBinary: boolean,
  ): void | Promise<void> {
    const { bytes } = event
    const { binaryBytes, binaryParts } = event.scanned
    const inputTokens = estimateInputTokens(bytes.length, binaryBytes) + binaryParts * tokensPerBinaryPart
    const input = { quantities: { in_text: inputTokens } }
    const about = {
      streamId: names.streamId,
      isKept: isKept(event),
      sample: sampleBody(bytes, { bytes: binaryBytes, parts: binaryParts }),
    }
    const lookUp = this.#requireOwn(event)
    // It is waited for where the turn is admitted, and says no there.
    lookUp?.catch(() => undefined)
    const named = namedModelsOf(event)
    const asked = { endpoint: this.context.endpoint, models, named, input, isWarmUp: isWarmUp(event) }
    const call = admitTurn(this.deps, this.context, asked)
    if (!lookUp && this.upstream && !this.deps.journal.secured && call.hold.hard.length === 0) {
      this.#send(this.#open(call, about), names.streamId, data, isBinary)
      return
    }
    const admitOnceMore = async (): Promise<void> => {
      await lookUp
      const paid = await payForTurn(this.deps, admitTurn(this.deps, this.context, asked), event)
      let opened: ResponsesTurn
      try {
        if (!this.upstream && !this.isEnding) await this.reconnect()
        if (this.isEnding) return paid?.money.release()
        // What was taken away meanwhile has cut nothing of this turn.
        const again = admitTurn(this.deps, this.context, asked)
        opened = this.#open(paid ? paid.give(again) : again, about)
      } catch (error) {
        paid?.money.release()
        throw error
      }
      if (await this.mayLeave(opened.turn, names)) this.#send(opened, names.streamId, paid?.data ?? data, isBinary)
    }
    return admitOnceMore().catch((error: unknown) => this.#refuse(error, names))
  }

  #requireOwn(event: ClientEvent): Promise<void> | undefined {
    const { principal, route } = this.context
    const request = { references: referencesOfCreate(event), body: event.bytes, shape: this.context.endpoint.shape }
    return requireOwnReferences(this.deps, { principal, route }, request, id => this.#made.has(id))
  }

  /** The OPEN stands in the journal before the turn leaves. */
  #open(call: AdmittedCall, { streamId, isKept: kept, sample }: AskedResponse, stage?: 'begun'): ResponsesTurn {
    const tap = openResponsesTap({ model: call.requestedModel })
    const usage = (counted: UsageEstimate = {}): UsageResult => {
      const isUnheard = !tap.ended && !tap.state.response && tap.outputBytes === 0
      // What was sent may have been worked on, heard of or not.
      if (isUnheard) return estimateAsked(call)
      if (call.isWarmUp && tap.outputBytes === 0) return tap.usage({ inputTokens: 0 })
      return tap.usage({ inputTokens: call.estimatedInputTokens, ...counted })
    }
    const reader = {
      usage: () => usage(),
      countedUsage: () => {
        const { in_text: input, out_text: output } = usage().provenance
        const { tokenCounter } = this.deps
        const inputTokens = input === 'estimated' && sample ? estimateBodyTokens(tokenCounter, sample) : undefined
        const outputTokens =
          output === 'estimated' && tap.outputSample
            ? tokenCounter.countBySample(tap.outputBytes, tap.outputSample)
            : undefined
        return usage({
          ...(inputTokens !== undefined && { inputTokens }),
          ...(outputTokens !== undefined && { outputTokens }),
        })
      },
      get outputBytes() {
        return tap.outputBytes
      },
      get outputPieces() {
        return tap.outputPieces ?? 0
      },
    }
    const turn = new Turn(this.deps, call, reader, stage)
    const opened: ResponsesTurn = { turn, tap, failing: undefined, isKept: kept }
    opened.turn.onCut = order => this.guard(() => this.#cutTurn(opened, streamId, order))
    opened.turn.onRecorded = this.secureNext
    return opened
  }

  #send(opened: ResponsesTurn, streamId: string | undefined, data: Buffer, isBinary: boolean): void {
    this.#lane(streamId).waiting.push(opened)
    this.#tellLimits(opened.turn.call)
    this.toUpstream(data, isBinary)
    opened.turn.sent()
  }

  /** No headers come with a turn: Codex takes an event instead. */
  #tellLimits({ client, hold }: AdmittedCall): void {
    if (client.refusalClass !== 'codex') return
    const event = codexLimitsEvent(usedParts(hold, Date.now()))
    if (event !== undefined) this.toClient(event)
  }

  protected onUpstreamFrame(data: Buffer): boolean {
    const event = parse(data)
    if (event) this.#observe(event, data.length)
    return true
  }

  #observe(event: ServerEvent, size: number): void {
    const streamId = typeof event.stream_id === 'string' ? event.stream_id : undefined
    const lane = this.#lane(streamId)
    const responseId = idOfResponse(event)
    if (responseId !== undefined) {
      if (this.#settled.has(responseId)) return
      if (lane.active?.turn.responseId !== responseId) this.#begin(lane, responseId, streamId, modelOfResponse(event))
    }
    const running = lane.active
    if (event.type === 'error') this.#onError(event, lane, size)
    else if (running) {
      clearTimeout(running.failing)
      running.tap.observeEvent(event, size)
      if (responseId !== undefined && terminal.has(String(event.type))) this.#finish(lane, running, responseId)
      else running.turn.seen(size)
    }
    if (!lane.active && lane.waiting.length === 0 && streamId !== undefined) this.#lanes.delete(streamId)
  }

  /** A response has been named: the oldest turn of its lane, or one that the provider has begun by itself (a steered one). */
  #begin(lane: Lane, responseId: string, streamId: string | undefined, model: string | undefined): void {
    if (lane.active) this.#finish(lane, lane.active, lane.active.turn.responseId, 'provider_ended_early')
    const waiting = lane.waiting.shift()
    const opened = waiting ?? this.#recordStarted(streamId, model)
    opened.turn.responseId = responseId
    this.#made.add(responseId)
    lane.active = opened
    if (!waiting) this.boundTurns(this.runningTurns().length)
  }

  #recordStarted(streamId: string | undefined, model: string | undefined): ResponsesTurn {
    const { call, refusal } = recordStartedTurn(this.deps, this.context, {
      endpoint: this.context.endpoint,
      models: model === undefined ? [] : [model],
      input: { quantities: {} },
      boundOf: boundWholeTurn,
    })
    const opened = this.#open(call, { streamId, isKept: true, sample: undefined }, 'begun')
    const { unrecorded } = opened.turn
    if (unrecorded) this.cutSoon({ refusal: unrecorded, style: 'explicit' })
    else if (refusal) setImmediate(() => opened.turn.cut({ refusal, style: 'soft' }))
    return opened
  }

  #finish(lane: Lane, running: ResponsesTurn, responseId: string | undefined, errorCode?: string): void {
    const { turn, tap } = running
    lane.active = undefined
    clearTimeout(running.failing)
    if (responseId !== undefined) {
      this.#settled.add(responseId)
      if (running.isKept) {
        if (turn.call.principal.project.path_classes?.stored === true)
          this.deps.stored.records.remember(turn.call, responseId)
        rememberMade(this.deps, turn.call, { ...turn.usage, response_id: responseId })
      }
    }
    const failure = errorCode ?? (tap.failed ? 'provider_failed_in_stream' : undefined)
    turn.settle(this.isClientGone ? 'aborted' : failure === undefined ? 'completed' : 'failed', {
      errorCode: failure,
      drained: this.isClientGone,
    })
  }

  /** Before a response is named, an error is the answer to the oldest turn and costs nothing. Later it may be its end. */
  #onError(event: ServerEvent, lane: Lane, size: number): void {
    if (lane.active) {
      const running = lane.active
      running.turn.seen(size)
      clearTimeout(running.failing)
      running.failing = setTimeout(() => this.guard(() => this.#endFailed(lane, running)), failingMs)
      return
    }
    const refused = lane.waiting.shift()
    if (!refused) return
    const status = typeof event.status === 'number' && Number.isInteger(event.status) ? event.status : 500
    refused.turn.settle('failed', {
      usage: { quantities: {}, provenance: {}, modifiers: {}, raw_usage: null },
      httpStatus: Math.max(0, status),
      errorCode: `provider_${status}`,
    })
  }

  /** Nothing has followed an error: it was the end of its turn. */
  #endFailed(lane: Lane, running: ResponsesTurn): void {
    if (lane.active !== running || running.turn.isSettled) return
    this.#finish(lane, running, running.turn.responseId, 'provider_failed_in_stream')
    this.afterTurn()
  }

  // ── orders to stop ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** There is no event that stops a turn: the connection to the provider is given up, and with it what else runs on it. */
  #cutTurn(_cut: ResponsesTurn, _streamId: string | undefined, order: CutOrder): void {
    if (!isOfBudgets(order.refusal.reason) && order.refusal.reason !== 'stopped_by_admin') {
      this.cut(order)
      return
    }
    this.endUnsent(order)
    this.endTurns(order)
    this.dropUpstream()
    this.afterTurn()
  }

  protected endTurns(order: CutOrder): void {
    for (const [streamId, lane] of this.#lanes) {
      const id = streamId === '' ? undefined : streamId
      if (lane.active) {
        const { turn, tap } = lane.active
        const ending = { ...order, callId: turn.call.callId, usage: turn.usage, clientWantsUsage: true }
        turn.settleCut(order)
        if (turn.responseId !== undefined) this.#settled.add(turn.responseId)
        for (const event of eventsOf(endResponses(tap.state, ending))) this.toClient(inLane(event, id))
      }
      for (const { turn } of lane.waiting) {
        turn.settleCut(order)
        this.tellRefusal(order.refusal, turn.call.callId, { streamId: id, model: turn.call.requestedModel })
      }
    }
    this.#lanes.clear()
  }

  protected runningTurns(): readonly Turn[] {
    const turns: Turn[] = []
    for (const { active, waiting } of this.#lanes.values()) {
      if (active && !active.turn.isSettled) turns.push(active.turn)
      for (const { turn } of waiting) if (!turn.isSettled) turns.push(turn)
    }
    return turns
  }

  protected errorEvent(answer: RefusalAnswer, _callId: string, { streamId }: ClientFrameNames): string {
    return responsesErrorEvent(answer, streamId)
  }

  #refuse(error: unknown, names: ClientFrameNames): void {
    const { callId } = newAttempt()
    const refusal =
      error instanceof UpstreamRefusal
        ? new Refusal(
            'provider_unreachable',
            `${this.context.route.servedBy} refused a new connection with status ${error.status}.`,
          )
        : this.asRefusal(error, callId)
    this.tellRefusal(refusal, callId, names)
    // A credential that is gone will not come back on this socket.
    if (refusal.reason === 'unauthorized' || refusal.reason === 'project_disabled')
      this.cut({ refusal, style: 'explicit' })
  }

  #lane(streamId: string | undefined): Lane {
    const name = streamId ?? ''
    let lane = this.#lanes.get(name)
    if (!lane) {
      lane = { waiting: [], active: undefined }
      this.#lanes.set(name, lane)
    }
    return lane
  }
}

function idOfResponse({ response }: ServerEvent): string | undefined {
  if (typeof response !== 'object' || response === null) return undefined
  const { id } = response as ServerEvent
  return typeof id === 'string' && id !== '' ? id.slice(0, 256) : undefined
}

function modelOfResponse({ response }: ServerEvent): string | undefined {
  const { model } = (typeof response === 'object' && response !== null ? response : {}) as ServerEvent
  return typeof model === 'string' && model !== '' ? model.slice(0, 256) : undefined
}

function parse(data: Buffer): ServerEvent | undefined {
  try {
    const event: unknown = JSON.parse(data.toString())
    return typeof event === 'object' && event !== null && !Array.isArray(event) ? (event as ServerEvent) : undefined
  } catch {
    return undefined
  }
}

/** The events of a stream's ending, without the dress of server-sent events. */
function eventsOf(ending: string): string[] {
  return ending
    .split('\n')
    .filter(line => line.startsWith('data: {'))
    .map(line => line.slice(6))
}

function inLane(event: string, streamId: string | undefined): string {
  return streamId === undefined ? event : `{"stream_id":${JSON.stringify(streamId)},${event.slice(1)}`
}
