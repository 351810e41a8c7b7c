import type { Quantities } from '@sluice/contracts'
import { hasRate } from '@sluice/pricing'
import {
  base64Bytes,
  fromInputTranscription,
  heardTokens,
  type OwnPrompt,
  RealtimeTap,
  RealtimeSession as SessionState,
  transcriptionModelsOf,
  type UsageResult,
} from '@sluice/usage'
import { allowModel, isAllowed, type PriceBooksOfCall } from '../allow-model.ts'
import { boundHeard, boundHeardOf, boundTurnOf, boundWholeTurn, noBound } from '../bounds/realtime-bound.ts'
import type { AdmittedCall } from '../call.ts'
import { holdBudget } from '../hold-budget.ts'
import type { CutOrder, LiveCall } from '../live-calls.ts'
import { payForBegun } from '../pay-for-call.ts'
import { refuseSessionReferences } from '../references/refuse-session-references.ts'
import { isOfBudgets, Refusal } from '../refusal.ts'
import type { RefusalAnswer } from '../refusal-answer.ts'
import { booksOf } from '../request-path.ts'
import { admitTurn, booksOfStarted, proveSocket, recordStartedTurn } from './admit-turn.ts'
import {
  type ClientEvent,
  memberBytes,
  modelsOfCreate,
  namedModelsOf,
  ownPromptOf,
  parsedMember,
  readClientEvent,
  textMember,
} from './client-event.ts'
import { realtimeErrorEvent } from './error-event.ts'
import { areSame, type ExpectedTurn, isSlot, NextTurn } from './next-turn.ts'
import { RecentIds } from './recent-ids.ts'
import { transcriptionEndpoint } from './socket-endpoints.ts'
import { type ClientFrameNames, maxTurns, SocketSession } from './socket-session.ts'
import { newAttempt, Turn } from './turn.ts'
import { asksForNoTurns, beginsTurns } from './voice-detection.ts'

type ServerEvent = Record<string, unknown>

interface RealtimeTurn {
  turn: Turn
  tap: RealtimeTap
  own: OwnPrompt
  /** Of the client's `response.create`, by which an error names it. */
  eventId: string | undefined
  isCancelled: boolean
}

/** Behind the name of a model: the snapshot that serves it. */
const dated = /-\d{4}-\d{2}-\d{2}$/
const maxTranscriptions = 256
const maxIdLength = 256
/** So much sound is paid for before it is heard, where another model writes it down. */
const heardAheadMs = 60_000
/** How long a cancelled turn may take to tell its usage. */
const cancelMs = 2_000
/** How soon a provider that has heard something begins to answer it: a session that ends sooner would not meter the answer. */
const answerMs = 500
/** How long a call that was hung up may take to be over: until then its turns are heard. */
const hangUpMs = 2_000
const noUsage: UsageResult = { quantities: {}, provenance: {}, modifiers: {}, raw_usage: null }

/**
 * `/v1/realtime`: turns that the client asks for and turns that the provider begins by itself when it hears that someone has
 * spoken; each is settled by its `response.done`, whatever its status. What was heard and written down is an attempt of its
 * own, at the price of the model that writes.
 */
export class RealtimeSession extends SocketSession {
  readonly #state = new SessionState()
  readonly #waiting: RealtimeTurn[] = []
  readonly #running = new Map<string, RealtimeTurn>()
  readonly #transcriptions = new Map<string, Turn>()
  /** Turns from when they are opened until they are seen to be settled. */
  readonly #opened = new Set<Turn>()
  readonly #settled = new RecentIds(512)
  /** Lengths of what the client has committed and the provider has not confirmed yet. */
  readonly #committedMs: number[] = []
  #budgets: LiveCall['budgets'] | undefined
  #ending: CutOrder | undefined
  #endTimer: NodeJS.Timeout | undefined
  #hangUpTimer: NodeJS.Timeout | undefined
  /** As the provider has described it last. */
  #described: unknown
  /** Its provider was told to begin no turns by itself: nothing is left that would pay for them. */
  #isTurnedOff = false
  /** What it was told last, until it begins none: one that goes on all the same would be told for ever. */
  #turnOffSent: string | undefined
  /** The client knows that there is no money. */
  #hasHeard = false
  /** …and that its sound is not passed on. */
  #knowsOfSound = false
  /** Nothing may begin since its hard budget was spent, and something has: it may have crossed that word, the next has not. */
  #hasBegunUnpaid = false
  readonly #next = new NextTurn({
    leases: this.deps.leases,
    expect: () => this.#expectTurn(),
    onMoney: refusal => this.guard(() => this.#onMoney(refusal)),
  })
  readonly #nextHeard = new NextTurn({
    leases: this.deps.leases,
    expect: () => this.#expectHeard(),
    onMoney: refusal => {
      if (refusal) return
      this.#knowsOfSound = false
      this.#hasBegunUnpaid = false
    },
  })

  constructor(...session: ConstructorParameters<typeof SocketSession>) {
    super(...session)
    this.#next.hold()
  }

  /** The provider may begin a turn at any moment, so money ends the session whether one runs or not. */
  get budgets(): LiveCall['budgets'] {
    const { principal, match, model, headers } = this.context
    this.#budgets ??=
      model === undefined ? [] : this.deps.budgets.match(principal.identity, match.dialect, model, headers.claimed)
    return this.#budgets
  }

  // ── one turn, top to bottom: read → admit → open → send → watch → settle ────────────────────────────────────────────

  protected onClientFrame(data: Buffer, isBinary: boolean): void | Promise<void> {
    // Whatever it is may have the provider begin a turn.
    const holding = this.#next.holding ?? this.#nextHeard.holding
    return holding ? holding.then(() => this.onClientFrame(data, isBinary)) : this.#onFrame(data, isBinary)
  }

  #onFrame(data: Buffer, isBinary: boolean): void | Promise<void> {
    if (this.isEnding) return
    let names: ClientFrameNames = {}
    try {
      const event = readClientEvent(data)
      names = { eventId: textMember(event, 'event_id') }
      // Sound is most of what is said, and names nothing.
      if (event.type !== 'input_audio_buffer.append') refuseSessionReferences(this.context.route, data)
      if (event.type === 'response.create') return this.#onCreate(event, names, data, isBinary)
      if (this.#refusesToHear(event, names)) return
      this.#onClientEvent(event)
      this.toUpstream(data, isBinary)
    } catch (error) {
      this.#refuse(error, names)
    }
  }

  #onCreate(event: ClientEvent, names: ClientFrameNames, data: Buffer, isBinary: boolean): void | Promise<void> {
    const { model } = this.context
    const models = [...(model === undefined ? [] : [model]), ...modelsOfCreate(event)]
    names.model = models[0]
    if (this.leaving) throw this.leaving
    if (this.#ending)
      throw new Refusal('shutting_down', 'This socket is about to close. Connect again.', { retryAfterS: 1 })
    if (this.#waiting.length + this.#running.size >= maxTurns)
      throw new Refusal('overloaded', `At most ${maxTurns} turns may wait or run on one socket. Wait for one to end.`)
    const own = ownPromptOf(event)
    const asked = {
      endpoint: this.context.endpoint,
      models,
      named: namedModelsOf(event),
      input: { quantities: this.#state.estimateInput(own) },
    }
    const call = admitTurn(this.deps, this.context, asked)
    if (call.hold.hard.length === 0) return this.#begin(call, own, names, data, isBinary)
    if (models.length > 1)
      throw new Refusal('invalid_request', 'Under a hard budget a turn is for the model of its session alone.')
    return this.#payThenBegin(call, () => admitTurn(this.deps, this.context, asked)).then(
      paid => paid && this.#begin(paid, own, names, data, isBinary),
      (error: unknown) => {
        // The socket stays: money may come back.
        this.tellRefusal(this.asRefusal(error, call.callId), call.callId, names)
        this.#next.hold()
      },
    )
  }

  /** What is held for the next turn pays for it; where that is of no use, money is asked for. @throws Refusal */
  async #payThenBegin(call: AdmittedCall, admitAgain: () => AdmittedCall): Promise<AdmittedCall | undefined> {
    let admitted = call
    let taking = this.#next.take(expectedOf(admitted))
    if (!taking) {
      this.#next.hold()
      await this.#next.holding
      if (this.isEnding) return undefined
      admitted = admitAgain()
      if (admitted.hold.hard.length === 0) return admitted
      taking = this.#next.take(expectedOf(admitted))
      if (!taking) throw this.#next.refusal ?? changedMeanwhile()
    }
    if (!(taking instanceof Promise)) return Object.assign(admitted, taking)
    const held = await taking
    try {
      const again = this.isEnding ? undefined : admitAgain()
      if (again && !areSame(again.hold.hard, admitted.hold.hard)) throw changedMeanwhile()
      if (!again) held.money.release()
      return again && Object.assign(again, held)
    } catch (error) {
      held.money.release()
      throw error
    }
  }

  #begin(
    call: AdmittedCall,
    own: OwnPrompt,
    names: ClientFrameNames,
    data: Buffer,
    isBinary: boolean,
  ): void | Promise<void> {
    this.#budgets = call.hold.budgets
    let opened: RealtimeTurn
    try {
      opened = this.#open(call, own, names.eventId)
    } catch (error) {
      call.money?.release()
      this.#next.hold()
      throw error
    }
    if (this.#state.startsTurns) this.#next.hold()
    const send = (): void => {
      this.#waiting.push(opened)
      this.toUpstream(data, isBinary)
      opened.turn.sent()
    }
    if (!this.deps.journal.secured) {
      send()
      return
    }
    return this.mayLeave(opened.turn, names)
      .then(mayLeave => {
        if (mayLeave) send()
        else this.#next.hold()
      })
      .catch((error: unknown) => {
        this.#refuse(error, names)
        this.#next.hold()
      })
  }

  /** What is not a turn and yet changes what turns cost, or by which model they are heard. @throws Refusal */
  #onClientEvent(event: ClientEvent): void {
    switch (event.type) {
      case 'session.update':
      case 'transcription_session.update': {
        const session = parsedMember(event, 'session')
        this.#allowSession(session)
        if (asksForNoTurns(session)) this.#isTurnedOff = false
        this.#turnOffSent = undefined
        return
      }
      case 'input_audio_buffer.append':
        this.#state.hear(base64Bytes(memberBytes(event, 'audio')))
        return
      case 'input_audio_buffer.commit':
        // Counted now, for the turn that is asked for in the same breath.
        if (this.#committedMs.length < maxTranscriptions) this.#committedMs.push(this.#state.commitBuffer())
        return
      case 'input_audio_buffer.clear':
        this.#state.clearBuffer()
        return
      case 'conversation.item.create': {
        const { bytes, scanned } = event
        this.#state.addItem(bytes.length - scanned.binaryBytes, base64Bytes(scanned.binaryBytes))
        return
      }
    }
  }

  #allowSession(session: unknown): void {
    const { match, model, endpoint } = this.context
    const nowMs = Date.now()
    const principal = proveSocket(this.deps, this.context, nowMs)
    const prices = booksOf(this.deps.prices, principal, nowMs)
    for (const each of transcriptionModelsOf(session))
      allowModel(principal, match.dialect, each, prices, transcriptionEndpoint.shape)
    const asked = typeof session === 'object' && session !== null ? (session as ServerEvent).model : undefined
    if (typeof asked === 'string' && asked !== model)
      allowModel(principal, match.dialect, asked, prices, endpoint.shape)
  }

  /** By which models the provider works is its word: where one is not allowed the session ends. */
  #checkServed(session: unknown): void {
    const { principal, match } = this.context
    const named = typeof session === 'object' && session !== null ? (session as ServerEvent).model : undefined
    const models = [...(typeof named === 'string' ? [named] : []), ...transcriptionModelsOf(session)]
    // A dated name is what a provider calls the model that was asked for without one.
    const isServable = (model: string): boolean =>
      isAllowed(principal, match.dialect, model) || isAllowed(principal, match.dialect, model.replace(dated, ''))
    if (models.every(isServable)) return
    const refusal = new Refusal(
      'model_not_allowed',
      'The provider has set up this session with a model that is not allowed for this credential or project.',
    )
    this.cutSoon({ refusal, style: 'explicit' })
  }

  #open(call: AdmittedCall, own: OwnPrompt, eventId: string | undefined, stage?: 'begun'): RealtimeTurn {
    const tap = new RealtimeTap({ outputBytesPerMs: this.#state.outputBytesPerMs })
    const { model } = this.#state
    const reader = {
      usage: () => {
        const usage = tap.usage(call.asked?.quantities ?? {})
        return model === undefined ? usage : { ...usage, served_model: model }
      },
      get outputBytes() {
        return tap.textBytes
      },
    }
    const opened: RealtimeTurn = {
      turn: new Turn(this.deps, call, reader, stage),
      tap,
      own,
      eventId,
      isCancelled: false,
    }
    opened.turn.onCut = order => this.cut(order)
    opened.turn.onRecorded = this.secureNext
    this.#opened.add(opened.turn)
    return opened
  }

  protected onUpstreamFrame(data: Buffer): boolean {
    const event = parse(data)
    if (event) this.#observe(event, data.length)
    return true
  }

  #observe(event: ServerEvent, size: number): void {
    const responseId = idOfResponse(event)
    if (responseId !== undefined) {
      this.#onResponseEvent(event, responseId, size)
      return
    }
    switch (event.type) {
      case 'session.created':
      case 'session.updated':
      case 'transcription_session.created':
      case 'transcription_session.updated':
        this.#state.configure(event.session)
        this.#described = event.session
        this.#checkServed(event.session)
        if (!this.#state.startsTurns) this.#turnOffSent = undefined
        if (this.#next.refusal) this.#turnOff()
        this.#nextHeard.hold()
        return
      case 'input_audio_buffer.committed':
        this.#onCommitted(event)
        return
      case 'conversation.item.input_audio_transcription.completed':
      case 'conversation.item.input_audio_transcription.failed':
        this.#onTranscribed(event)
        return
      case 'error':
        this.#onError(event)
    }
  }

  #onResponseEvent(event: ServerEvent, responseId: string, size: number): void {
    if (this.#settled.has(responseId) || this.#isLeft(responseId)) return
    let running = this.#running.get(responseId)
    let isBegunByProvider = false
    if (!running) {
      const waiting = this.#waiting.shift()
      running = waiting ?? this.#recordStarted(responseId)
      running.turn.responseId = responseId
      this.#running.set(responseId, running)
      isBegunByProvider = !waiting
    }
    running.tap.observe(event)
    if (running.tap.ended) this.#finish(running, responseId)
    else running.turn.seen(size)
    if (isBegunByProvider) this.boundTurns(this.#running.size)
  }

  /** The provider has begun a turn by itself: it is charged, so it is metered; without money it is ended at once. */
  #recordStarted(responseId: string): RealtimeTurn {
    const { call, refusal } = recordStartedTurn(this.deps, this.context, {
      endpoint: this.context.endpoint,
      models: [this.context.model ?? this.#state.model].filter(model => model !== undefined),
      input: { quantities: this.#state.estimateInput() },
      inCall: this.#inCall(responseId),
    })
    if (!refusal) this.#budgets = call.hold.budgets
    // Too fast is no reason to end more than the turn.
    const tooFast = refusal?.reason === 'rate_limited' ? refusal : undefined
    const unpaid = refusal ? tooFast : this.#payBegun(call)
    const opened = this.#open(call, {}, undefined, 'begun')
    this.#endFor((tooFast ? undefined : refusal) ?? opened.turn.unrecorded)
    if (unpaid) this.#cancel(opened, responseId, unpaid)
    if (this.#state.startsTurns) this.#next.hold()
    return opened
  }

  /** @returns why nothing pays for it */
  #payBegun(call: AdmittedCall): Refusal | undefined {
    const { hard } = call.hold
    if (hard.length === 0) return undefined
    const held = this.#next.takeNow(expectedOf(call))
    if (!held) return payForBegun(this.deps, call, boundWholeTurn)
    Object.assign(call, held)
    return undefined
  }

  #cancel(running: RealtimeTurn, response_id: string, refusal: Refusal): void {
    if (!running.isCancelled) this.toUpstream(JSON.stringify({ type: 'response.cancel', response_id }))
    running.isCancelled = true
    running.turn.cancelledFor ??= refusal
    this.tellRefusal(refusal, running.turn.call.callId, { model: running.turn.call.requestedModel })
  }

  // ── money for the turn that may come next ───────────────────────────────────────────────────────────────────────────

  /** @throws Refusal */
  #expectTurn(): ExpectedTurn {
    const { match, model, headers, route } = this.context
    const nowMs = Date.now()
    if (model === undefined || this.#ending) return { hard: [], bound: noBound }
    const principal = proveSocket(this.deps, this.context, nowMs)
    const { hard } = holdBudget(this.deps, principal, match.dialect, model, headers.claimed, nowMs, route.access)
    if (hard.length === 0) return { hard, bound: noBound }
    // One that follows another begins when that has ended: it gets the same slot.
    const counted = this.#isTurnOpen ? hard.filter(each => !isSlot(each)) : hard
    return { hard: counted, bound: boundTurnOf(principal, model, booksOfStarted(this.deps, this.context, nowMs)) }
  }

  /** A turn is on its way, asked for, or runs. */
  get #isTurnOpen(): boolean {
    for (const turn of this.#opened) if (turn.isSettled) this.#opened.delete(turn)
    return this.#opened.size > 0
  }

  /** Money has run out, so that nothing may begin by itself, or is there again. */
  #onMoney(refusal: Refusal | undefined): void {
    if (this.isEnding) return
    if (!refusal) {
      const turnOn = this.#isTurnedOff ? beginsTurns(this.#described, true) : undefined
      if (turnOn !== undefined) this.toUpstream(turnOn)
      this.#isTurnedOff = false
      this.#turnOffSent = undefined
      this.#hasHeard = false
      this.#hasBegunUnpaid = false
      return
    }
    this.#turnOff()
    // While one runs, the next has time; and what nobody may use any more is ended by an order of its own.
    if (this.#hasHeard || this.#isTurnOpen || !isOfBudgets(refusal.reason)) return
    this.#hasHeard = true
    this.tellRefusal(refusal, newAttempt().callId, {})
  }

  #turnOff(): void {
    const turnOff = this.#state.startsTurns ? beginsTurns(this.#described, false) : undefined
    if (turnOff === undefined || turnOff === this.#turnOffSent) return
    this.#isTurnedOff = true
    this.#turnOffSent = turnOff
    this.toUpstream(turnOff)
  }

  /** A turn has the slot; sound has none of its own. @throws Refusal */
  #expectHeard(): ExpectedTurn {
    const { match, headers, route } = this.context
    const model = this.#state.transcriptionModel
    if (model === undefined || this.#ending) return { hard: [], bound: noBound }
    const nowMs = Date.now()
    const principal = proveSocket(this.deps, this.context, nowMs)
    const { hard } = holdBudget(this.deps, principal, match.dialect, model, headers.claimed, nowMs, route.access)
    const prices = booksOfStarted(this.deps, this.context, nowMs)
    return {
      hard: hard.filter(each => !isSlot(each)),
      bound: boundHeardOf(principal, model, prices, this.#heardQuantities(model, prices, heardAheadMs)),
    }
  }

  /** Without money for what another model would write down, sound and its end are kept from the provider, and the client is told. */
  #refusesToHear({ type }: ClientEvent, names: ClientFrameNames): boolean {
    const { refusal } = this.#nextHeard
    if (!refusal || (type !== 'input_audio_buffer.append' && type !== 'input_audio_buffer.commit')) return false
    if (type === 'input_audio_buffer.commit' || !this.#knowsOfSound)
      this.tellRefusal(refusal, newAttempt().callId, { ...names, model: this.#state.transcriptionModel })
    this.#knowsOfSound = true
    return true
  }

  protected override onEnd(): void {
    this.#next.close()
    this.#nextHeard.close()
  }

  /**
   * A turn that may not be ends the session, and one that begins while the session ends is ended with it. Of a hard budget that is
   * spent, the first is ended alone.
   */
  #endFor(refusal = this.#ending?.refusal): void {
    if (!refusal) return
    const order = { refusal, style: 'soft' } as const
    if (this.#hasBegunUnpaid) setImmediate(() => super.cut(order))
    else this.cutSoon(order)
    this.#hasBegunUnpaid = true
  }

  /** Names a turn of a call in the journal, so that whoever takes the call over after a kill leaves it to the replay. */
  #inCall(turnId: string): { callId: string; turnId: string } | undefined {
    const { joined } = this.context
    return joined && { callId: joined.callId, turnId: turnId.slice(0, maxIdLength) }
  }

  #isLeft(turnId: string): boolean {
    return this.context.joined?.leftTurns.has(turnId.slice(0, maxIdLength)) === true
  }

  #finish({ turn, tap, own }: RealtimeTurn, responseId: string): void {
    this.#running.delete(responseId)
    this.#settled.add(responseId)
    this.#state.endTurn(turn.usage, own)
    if (this.#ending) turn.settleCut(this.#ending)
    else if (turn.cancelledFor && !tap.completed && !tap.failed) turn.settleCut({ refusal: turn.cancelledFor })
    else
      turn.settle(this.isClientGone ? 'aborted' : tap.failed ? 'failed' : 'completed', {
        errorCode: tap.failed ? 'provider_failed_in_stream' : undefined,
        drained: this.isClientGone,
      })
    this.#next.hold()
  }

  // ── what was heard, written down by another model ───────────────────────────────────────────────────────────────────

  #onCommitted(event: ServerEvent): void {
    const ms = this.#committedMs.shift() ?? this.#state.commitBuffer()
    const model = this.#state.transcriptionModel
    const { item_id: itemId } = event
    if (model === undefined || typeof itemId !== 'string' || this.#transcriptions.size >= maxTranscriptions) return
    this.#transcriptions.set(itemId, this.#openTranscription(model, ms, itemId))
  }

  #openTranscription(model: string, ms: number, itemId: string): Turn {
    const quantities = this.#heardQuantities(model, booksOfStarted(this.deps, this.context, Date.now()), ms)
    const started = recordStartedTurn(this.deps, this.context, {
      endpoint: transcriptionEndpoint,
      models: [model],
      input: { quantities },
      inCall: this.#inCall(itemId),
    })
    if (started.refusal?.reason === 'budget_spent') this.#endFor(started.refusal)
    const hard = started.call.hold.hard.filter(each => !isSlot(each))
    const call = { ...started.call, hold: { ...started.call.hold, hard } }
    const held = this.#nextHeard.takeNow({ hard, bound: boundHeard(call) })
    if (held) Object.assign(call, held)
    else payForBegun(this.deps, call, boundHeard)
    this.#nextHeard.hold()
    const usage: UsageResult = { ...noUsage, ...call.asked, quantities }
    const turn = new Turn(this.deps, call, { usage: () => usage, outputBytes: 0 }, 'begun')
    turn.onCut = order => this.cut(order)
    turn.onRecorded = this.secureNext
    const { unrecorded } = turn
    if (unrecorded) setTimeout(() => this.cut({ refusal: unrecorded, style: 'soft' }), answerMs)
    return turn
  }

  #heardQuantities(model: string, prices: PriceBooksOfCall, ms: number): Quantities {
    const isByTime = hasRate(prices, this.context.match.dialect, model, 'audio_ms_in')
    return isByTime ? { audio_ms_in: ms } : { in_audio: heardTokens(ms) }
  }

  #onTranscribed(event: ServerEvent): void {
    const itemId = typeof event.item_id === 'string' ? event.item_id : ''
    const key = `${itemId} ${String(event.content_index)}`
    if (this.#settled.has(key) || this.#isLeft(itemId)) return
    this.#settled.add(key)
    const isFailed = String(event.type).endsWith('.failed')
    const usage = fromInputTranscription(event)
    const turn =
      this.#transcriptions.get(itemId) ??
      this.#openTranscription(this.#state.transcriptionModel ?? 'unknown', 0, itemId)
    this.#transcriptions.delete(itemId)
    const isTold = usage.raw_usage !== null
    turn.settle(isFailed ? 'failed' : 'completed', {
      ...(isTold || isFailed ? { usage } : {}),
      errorCode: isFailed ? 'transcription_failed' : undefined,
      drained: this.isClientGone,
    })
  }

  /** An error that names the client's event is the answer to it, and costs nothing. */
  #onError({ error }: ServerEvent): void {
    const { event_id: eventId, code } = (typeof error === 'object' && error !== null ? error : {}) as ServerEvent
    if (code === 'input_audio_buffer_commit_empty') this.#committedMs.shift()
    const named =
      typeof eventId === 'string'
        ? this.#waiting.findIndex(waiting => waiting.eventId === eventId)
        : code === 'conversation_already_has_active_response'
          ? this.#waiting.findLastIndex(waiting => waiting.eventId === undefined)
          : -1
    // Who gives no ids hears errors without one: where nothing else runs, it is the turn that was asked for.
    const at = named >= 0 || typeof eventId === 'string' || this.#running.size > 0 ? named : this.#waiting.length - 1
    const [refused] = at < 0 ? [] : this.#waiting.splice(at, 1)
    refused?.turn.settle('failed', { usage: noUsage, httpStatus: 400, errorCode: 'provider_refused' })
    if (refused) this.#next.hold()
  }

  // ── orders to stop ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** Of a hard budget a turn holds its money: it goes on when the rest is gone. The next is refused until there is some again. */
  override cut(order: CutOrder): void {
    if (this.#isOfHardBudget(order.refusal)) this.guard(() => this.#endUnpaid(order.refusal))
    else super.cut(order)
  }

  #isOfHardBudget({ reason, budget: spent }: Refusal): boolean {
    if (reason !== 'budget_spent' || !spent) return false
    return this.budgets.some(({ budget }) => budget.budget_id === spent.budget_id && budget.mode === 'hard')
  }

  #endUnpaid(refusal: Refusal): void {
    if (this.isEnding) return
    for (const [responseId, running] of this.#running) {
      if (running.isCancelled || isPaidBy(running.turn.call, refusal)) continue
      this.#cancel(running, responseId, refusal)
      setTimeout(() => {
        if (this.#running.get(responseId) === running) super.cut({ refusal, style: 'explicit' })
      }, cancelMs).unref()
    }
    this.#next.hold()
    this.#nextHeard.hold()
  }

  /** Money is gone: the turn is cancelled and tells its usage, then the socket closes. Permission is gone: at once. */
  protected override endBy(order: CutOrder): void {
    if (order.style !== 'soft' || !this.#isUnderWay) {
      super.endBy(order)
      return
    }
    const isFirst = !this.#ending
    this.#ending ??= order
    for (const [response_id, running] of this.#running) {
      if (!running.isCancelled) this.toUpstream(JSON.stringify({ type: 'response.cancel', response_id }))
      running.isCancelled = true
    }
    if (!isFirst) return
    this.endUnsent(order)
    if (this.#running.size === 0 && this.#waiting.length > 0) this.toUpstream('{"type":"response.cancel"}')
    this.#endTimer = setTimeout(() => this.guard(() => super.endBy(order)), cancelMs)
  }

  /** Something has yet to tell its usage. */
  get #isUnderWay(): boolean {
    return this.#running.size + this.#waiting.length + this.#transcriptions.size > 0
  }

  /** The client has heard how its turn ended: now the socket closes. */
  protected override afterTurn(): void {
    if (this.#ending && !this.#isUnderWay) super.endBy(this.#ending)
    else super.afterTurn()
  }

  /** A call may begin a turn until its provider has ended it: first it is hung up, and heard until then. */
  protected override closeIdle(): void {
    const { joined } = this.context
    if (!joined) super.closeIdle()
    else if (!this.#hangUpTimer) {
      this.#hangUpTimer = setTimeout(() => this.guard(() => super.closeIdle()), hangUpMs).unref()
      void joined.hangUp()
    }
  }

  protected endTurns(order: CutOrder): void {
    clearTimeout(this.#endTimer)
    for (const turn of this.runningTurns()) turn.settleCut(order)
    this.#waiting.length = 0
    this.#running.clear()
    this.#transcriptions.clear()
  }

  protected runningTurns(): readonly Turn[] {
    return [
      ...[...this.#running.values(), ...this.#waiting].map(({ turn }) => turn),
      ...this.#transcriptions.values(),
    ].filter(turn => !turn.isSettled)
  }

  protected errorEvent(answer: RefusalAnswer, callId: string, { eventId }: ClientFrameNames): string {
    return realtimeErrorEvent(answer, callId, eventId)
  }

  #refuse(error: unknown, names: ClientFrameNames): void {
    const { callId } = newAttempt()
    const refusal = this.asRefusal(error, callId)
    if (closing.has(refusal.reason) && !this.#isOfHardBudget(refusal)) this.cut({ refusal, style: 'soft' })
    else this.tellRefusal(refusal, callId, names)
  }
}

/** It holds money of the budget that has no more. */
function isPaidBy({ money }: AdmittedCall, { budget: spent }: Refusal): boolean {
  return (
    money?.budgets.some(({ budget, copy }) => budget.budget_id === spent?.budget_id && copy === spent.copy) === true
  )
}

function expectedOf(call: AdmittedCall): ExpectedTurn {
  return { hard: call.hold.hard, bound: boundWholeTurn(call) }
}

function changedMeanwhile(): Refusal {
  return new Refusal('budget_held', 'The budgets of this turn have changed this moment. Try again.', {
    retryAfterS: 1,
  })
}

/** After these no turn will ever be let in on this socket. */
const closing: ReadonlySet<Refusal['reason']> = new Set([
  'budget_spent',
  'balance_exhausted',
  'unauthorized',
  'project_disabled',
])

function idOfResponse({ response_id, response }: ServerEvent): string | undefined {
  const id = typeof response === 'object' && response !== null ? (response as ServerEvent).id : response_id
  return typeof id === 'string' && id !== '' ? id.slice(0, maxIdLength) : undefined
}

function parse(data: Buffer): ServerEvent | undefined {
  try {
    const event: unknown = JSON.parse(data.toString())
    return typeof event === 'object' && event !== null && !Array.isArray(event) ? (event as ServerEvent) : undefined
  } catch {
    return undefined
  }
}
