import type { CallIdentity, Dialect } from '@sluice/contracts'
import type WebSocket from 'ws'
import { isCharged } from '../call.ts'
import { formerUpstream, integrationChanged } from '../integration-changed.ts'
import { JournalUnavailableError } from '../journal/journal.ts'
import type { CutOrder, LiveCall } from '../live-calls.ts'
import { meteringUnavailable, Refusal } from '../refusal.ts'
import { answerRefusal, type RefusalAnswer } from '../refusal-answer.ts'
import { refusedCall } from '../refused-call.ts'
import type { GatewayDeps } from '../request-path.ts'
import { isSameUpstream, type Route } from '../resolve-route.ts'
import { proveSocket } from './admit-turn.ts'
import { BoundedSender } from './backpressure.ts'
import { closeCodeOf, closeCodes, closeReason, passedCloseCode } from './close-code.ts'
import { keepAlive } from './keep-alive.ts'
import { SecuredSender } from './secured-sender.ts'
import type { SocketContext } from './socket-context.ts'
import type { Turn } from './turn.ts'
import { newAttempt, secured } from './turn.ts'
import type { UpstreamSocket } from './upstream-socket.ts'

/** Everything that a session needs of its surroundings. */
export interface SessionDeps extends GatewayDeps {
  /** Opens the provider's side again. */
  connect: (route: Route) => Promise<UpstreamSocket>
  /** Called once, when both sides are gone. */
  onEnded: () => void
}

interface Frame {
  data: Buffer
  isBinary: boolean
}

/**
 * A client's socket and the provider's, joined: frames pass as they came and in their order, each side waits for the other
 * to read, and what the frames mean is left to the endpoint's own session. It outlives no permission: orders to stop reach
 * it whether a turn runs or not.
 */
export abstract class SocketSession implements LiveCall {
  place = -1
  protected readonly deps: SessionDeps
  protected readonly context: SocketContext
  protected readonly client: WebSocket
  protected upstream: WebSocket | undefined
  readonly #toClient: BoundedSender
  readonly #secured: SecuredSender
  #toUpstream: BoundedSender | undefined
  /** Frames of the client that came while an earlier one was being admitted. */
  readonly #inbox: Frame[] = []
  /** A turn that stands in the journal and does not leave before that is secured. */
  #unsent: { turn: Turn; about: ClientFrameNames } | undefined
  #isBusy = false
  #isClientGone = false
  #leaving: Refusal | undefined
  #isEnded = false
  #isClosing = false
  #upstreamHeardAt = performance.now()
  #isDrained = false
  #drainTimer: NodeJS.Timeout | undefined

  constructor(deps: SessionDeps, context: SocketContext, client: WebSocket, upstream: UpstreamSocket) {
    this.deps = deps
    this.context = context
    this.client = client
    this.#toClient = new BoundedSender(client, () => this.#pauseUpstream(), deps.timeouts.maxStallMs)
    this.#secured = new SecuredSender({
      secured: deps.journal.secured,
      onHeld: () => this.#pauseUpstream(),
      onUnsecured: () => this.guard(() => this.#end()),
    })
    client.on('message', (data: Buffer, isBinary) => this.guard(() => this.#onClientFrame({ data, isBinary })))
    client.on('error', () => client.terminate())
    client.once('close', () => this.guard(() => this.#onClientGone()))
    keepAlive(client, () => this.guard(() => this.#checkUpstream()))
    this.#join(upstream)
  }

  // ── what an endpoint's session says ─────────────────────────────────────────────────────────────────────────────────

  /** A client's frame: forwards it, or refuses it by an error event. A promise: later frames wait for it. */
  protected abstract onClientFrame(data: Buffer, isBinary: boolean): void | Promise<void>
  /** A frame of the provider, before it is passed on. False: it is kept from the client. */
  protected abstract onUpstreamFrame(data: Buffer): boolean
  protected abstract errorEvent(answer: RefusalAnswer, callId: string, about: ClientFrameNames): string
  /** Turns that have left for the provider. */
  protected abstract runningTurns(): readonly Turn[]
  /** An order reached the session itself: what runs is ended and told in the endpoint's terms; the socket is closed by us. */
  protected abstract endTurns(order: CutOrder): void
  /** Budgets that end the session even where no turn runs. */
  abstract get budgets(): LiveCall['budgets']

  /** Both sides are gone. */
  protected onEnd(): void {}

  // ── orders ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  get identity(): CallIdentity {
    return this.context.principal.identity
  }
  get claimed(): LiveCall['claimed'] {
    return this.context.headers.claimed
  }
  get isCharged(): boolean {
    return isCharged(this.context)
  }
  get isByClientSecret(): boolean {
    const { principal, joined } = this.context
    return joined?.byClientSecret ?? principal.clientSecret !== undefined
  }
  /** The team that would pay for a turn now: a key, or its member, may have gone over to another since this was opened. */
  get teamNow(): string {
    try {
      return proveSocket(this.deps, this.context, Date.now()).identity.team_id
    } catch (error) {
      if (error instanceof Refusal) return this.identity.team_id
      throw error
    }
  }
  get dialect(): Dialect {
    return this.context.match.dialect
  }

  /** Ends the session. Whoever ends many of them is not held up by a fault in one. */
  cut(order: CutOrder): void {
    this.guard(() => this.endBy(order))
  }

  /** Ends it now: the client is told why, then both sides are closed. */
  protected endBy(order: CutOrder): void {
    if (this.#isEnded || this.#isClosing) return
    this.endUnsent(order)
    this.endTurns(order)
    this.tellRefusal(order.refusal, newAttempt().callId, {})
    this.close(closeCodeOf(order.refusal.reason), order.refusal.message)
  }

  /** The same, once what is under way in this turn of the loop has been told of. */
  protected cutSoon(order: CutOrder): void {
    setImmediate(() => this.cut(order))
  }

  /** The provider does what it must not: what runs has failed, and the client is told why. */
  protected giveUp(refusal: Refusal): void {
    for (const turn of this.#turns()) turn.settle('failed', { errorCode: refusal.reason })
    this.tellRefusal(refusal, this.context.callId, {})
    this.close(closeCodeOf(refusal.reason), refusal.message)
  }

  /** @param running turns that the provider works on */
  protected boundTurns(running: number): void {
    if (running <= maxTurns) return
    const { servedBy } = this.context.route
    this.giveUp(
      new Refusal('provider_unreachable', `${servedBy} has begun more than ${maxTurns} turns on this socket.`),
    )
  }

  /** What happens on a socket happens to it alone: a fault of ours ends this session, and not the process with all the others. */
  protected guard(act: () => void): void {
    try {
      act()
    } catch (error) {
      const refusal = this.asRefusal(error, this.context.callId)
      try {
        this.endBy({ refusal, style: 'explicit' })
      } catch (again) {
        this.deps.onInternalError(again, this.context.callId)
        this.dropUpstream()
        this.client.terminate()
      }
    }
  }

  /** The session ends when no turn runs any more: this process is going, or what the session was opened to. */
  leave(why: Refusal): void {
    this.#leaving ??= why
    this.guard(() => this.afterTurn())
  }

  /** What is said to a turn that comes while the session is to end. */
  protected get leaving(): Refusal | undefined {
    return this.#leaving
  }

  /** Whether a route leads to the provider that this session is connected to; one that is not connects by the route of then. */
  isOn(route: Route | undefined): boolean {
    return this.upstream === undefined || (route !== undefined && isSameUpstream(this.context.route, route))
  }

  protected get isClientGone(): boolean {
    return this.#isClientGone
  }
  /** Nobody waits for a turn any more: the client has gone, or has been told why. */
  protected get isEnding(): boolean {
    return this.#isClientGone || this.#isClosing || this.#isEnded
  }

  /** Called when a frame of the provider has been passed on, which may have ended a turn, and where turns were ended. */
  protected afterTurn(): void {
    if (!(this.#isClientGone || this.#leaving) || this.#turns().length > 0) return
    if (this.#isClientGone) this.#end()
    else this.closeIdle()
  }

  /** No turn runs and the session is to end. Whoever connects again is served. */
  protected closeIdle(): void {
    this.close(closeCodes.restart, this.#leaving?.message ?? '')
  }

  #turns(): readonly Turn[] {
    const turns = this.runningTurns()
    return this.#unsent && !this.#unsent.turn.isSettled ? [...turns, this.#unsent.turn] : turns
  }

  // ── a turn on its way ───────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Waits, in a mode where calls do, until a turn may leave that was opened just now. False: it was ended meanwhile, at no
   * cost, and who asked for it knows. @throws JournalUnavailableError
   */
  protected async mayLeave(turn: Turn, about: ClientFrameNames): Promise<boolean> {
    this.#unsent = { turn, about }
    try {
      await secured(this.deps.journal, turn)
      return !turn.isSettled
    } finally {
      this.#unsent = undefined
    }
  }

  /** Ends a turn that has not left, and tells the client why. */
  protected endUnsent(order: CutOrder): void {
    if (!this.#unsent || this.#unsent.turn.isSettled) return
    const { turn, about } = this.#unsent
    turn.settleCut(order)
    this.tellRefusal(order.refusal, turn.call.callId, about)
  }

  // ── frames ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  protected toClient(data: Buffer | string, isBinary = false): void {
    this.#secured.send(() => this.#toClient.send(data, isBinary))
  }

  /** What the client hears next waits for what the journal was told just now, in a mode where answers do. */
  protected readonly secureNext = (): void => this.#secured.secureNext()

  protected toUpstream(data: Buffer | string, isBinary = false): void {
    this.#toUpstream?.send(data, isBinary)
  }

  /** Answers a client's frame with a no; the socket stays. */
  protected tellRefusal(refusal: Refusal, callId: string, about: ClientFrameNames): void {
    const { match, headers, principal } = this.context
    const answer = answerRefusal(refusal, {
      dialect: match.dialect,
      refusalClass: headers.client.refusalClass,
      callId,
      nowMs: Date.now(),
      budgetStatus: principal.project.budget_status,
      publicOrigin: this.deps.publicOrigin,
    })
    this.toClient(this.errorEvent(answer, callId, about))
    this.deps.onRefused(
      refusedCall(this.deps.gatewayId, callId, refusal, answer.status, {
        identity: principal.identity,
        claimed: headers.claimed,
        dialect: match.dialect,
        endpoint: this.context.endpoint.name,
        requestedModel: about.model,
      }),
    )
  }

  protected asRefusal(error: unknown, callId: string): Refusal {
    if (error instanceof Refusal) return error
    if (error instanceof JournalUnavailableError) return meteringUnavailable(error)
    this.deps.onInternalError(error, callId)
    return new Refusal('internal', 'internal')
  }

  #onClientFrame(frame: Frame): void {
    if (this.#isClosing) return
    if (this.#isBusy) this.#inbox.push(frame)
    else this.#handle(frame)
  }

  #handle({ data, isBinary }: Frame): void {
    const handled = this.onClientFrame(data, isBinary)
    if (!handled) return
    this.#isBusy = true
    this.#pauseClient()
    handled
      .catch((error: unknown) => this.deps.onInternalError(error, this.context.callId))
      .finally(() => this.guard(() => this.#handleNext()))
  }

  #handleNext(): void {
    this.#isBusy = false
    while (!this.#isBusy) {
      const next = this.#inbox.shift()
      if (!next) break
      this.#handle(next)
    }
    this.#pauseClient()
    // What was waited for may have come to nothing.
    this.afterTurn()
  }

  #pauseClient(): void {
    if (this.client.readyState !== this.client.OPEN) return
    if (this.#isBusy || this.#toUpstream?.isFull) this.client.pause()
    else this.client.resume()
  }

  #pauseUpstream(): void {
    const { upstream } = this
    if (upstream?.readyState !== upstream?.OPEN) return
    const isHeldUp = this.#toClient.isFull || this.#secured.isHolding
    for (const { call } of this.runningTurns()) {
      if (isHeldUp) call.pace?.pause()
      else call.pace?.resume()
    }
    if (isHeldUp) upstream?.pause()
    else upstream?.resume()
  }

  // ── the provider's side ─────────────────────────────────────────────────────────────────────────────────────────────

  #join({ socket }: UpstreamSocket): void {
    this.upstream = socket
    this.#toUpstream = new BoundedSender(socket, () => this.#pauseClient(), this.deps.timeouts.maxStallMs)
    this.#upstreamHeardAt = performance.now()
    socket.on('message', (data: Buffer, isBinary) => {
      if (this.upstream === socket) this.guard(() => this.#onUpstreamFrame(data, isBinary))
    })
    socket.on('error', () => socket.terminate())
    socket.once('close', (code, reason) => {
      if (this.upstream === socket) this.guard(() => this.#onUpstreamGone(code, reason.toString()))
    })
    if (!this.#toClient.isFull && !this.#secured.isHolding) socket.resume()
  }

  #onUpstreamFrame(data: Buffer, isBinary: boolean): void {
    this.#upstreamHeardAt = performance.now()
    const passes = this.onUpstreamFrame(data)
    if (passes) this.toClient(data, isBinary)
    this.afterTurn()
  }

  /**
   * Opens the provider's side again where it was given up to stop a turn, by the project's integration of now.
   * @throws Refusal or UpstreamRefusal
   */
  protected async reconnect(): Promise<void> {
    const route = this.#routeNow()
    // What turns may go on from is told by the access that they go out under.
    if (route.access !== this.context.route.access) throw formerUpstream()
    const opened = await this.deps.connect(route)
    try {
      if (!this.isEnding && !isSameUpstream(route, this.#routeNow())) throw integrationChanged()
    } catch (error) {
      opened.socket.terminate()
      throw error
    }
    this.context.route = route
    if (this.isEnding) opened.socket.terminate()
    else this.#join(opened)
  }

  #routeNow(): Route {
    const { project, identity } = proveSocket(this.deps, this.context, Date.now())
    return this.deps.routes.resolve(project, this.context.match.dialect, identity.team_id)
  }

  /** Gives the provider's side up: the only way to stop a turn where there is no event for it. */
  protected dropUpstream(): void {
    const { upstream } = this
    this.upstream = undefined
    this.#toUpstream = undefined
    upstream?.terminate()
    this.#pauseClient()
  }

  #onUpstreamGone(code: number, reason: string): void {
    this.upstream = undefined
    // The end of a call is somebody's hanging up.
    const isLeft = this.#isClientGone || this.context.joined !== undefined
    for (const turn of this.#turns()) turn.settle(isLeft ? 'aborted' : 'failed', { errorCode: 'provider_ended_early' })
    if (this.#isClientGone) {
      this.#end()
      return
    }
    this.close(passedCloseCode(code), reason)
  }

  /** A provider that says nothing at all while a turn runs is given up. */
  #checkUpstream(): void {
    const turns = this.#turns()
    if (turns.length === 0) this.#upstreamHeardAt = performance.now()
    if (performance.now() - this.#upstreamHeardAt < this.deps.timeouts.idleMs) return
    this.giveUp(new Refusal('provider_timeout', `${this.context.route.servedBy} did not answer in time. Try again.`))
  }

  // ── the end ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Closes the client's side, and the provider's with it. */
  protected close(code: number | undefined, reason: string): void {
    if (this.#isClosing) return
    this.#isClosing = true
    this.#inbox.length = 0
    this.client.resume()
    this.#secured.send(() => this.client.close(code, closeReason(reason)))
    this.dropUpstream()
  }

  /** Ends it without a word: it has had its time. */
  terminate(): void {
    this.guard(() => this.#end())
  }

  #onClientGone(): void {
    this.#isClientGone = true
    this.#inbox.length = 0
    this.#unsent?.turn.settle('aborted', { errorCode: 'client_closed' })
    const running = this.runningTurns()
    if (running.length === 0 || !this.upstream) {
      this.#end()
      return
    }
    const policy = this.context.principal.project.on_client_abort[this.context.match.dialect]
    // Where all that a turn can cost is held, its end must be known.
    const mustDrain = running.some(({ call }) => call.money?.isExact)
    if ((policy === 'cancel' && !mustDrain) || !this.deps.drains.begin()) {
      for (const turn of running) turn.settle('aborted', { errorCode: 'client_closed' })
      this.#end()
      return
    }
    // Read on to what the turns have cost.
    this.#isDrained = true
    this.#drainTimer = setTimeout(() => this.guard(() => this.#endDrain()), this.deps.timeouts.maxDrainMs)
  }

  #endDrain(): void {
    for (const turn of this.runningTurns()) turn.settle('aborted', { errorCode: 'drain_timeout' })
    this.#end()
  }

  #end(): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#inbox.length = 0
    if (this.#isDrained) this.deps.drains.end()
    clearTimeout(this.#drainTimer)
    try {
      for (const turn of this.#turns()) this.#settleAtEnd(turn)
      this.dropUpstream()
      if (this.client.readyState !== this.client.CLOSED) this.client.terminate()
    } finally {
      this.onEnd()
      this.deps.onEnded()
    }
  }

  /** Nothing comes after this: what cannot be settled keeps nothing else open. */
  #settleAtEnd(turn: Turn): void {
    try {
      turn.settle('aborted', { errorCode: 'client_closed' })
    } catch (error) {
      this.deps.onInternalError(error, turn.call.callId)
    }
  }
}

/** Turns that one socket may have under way, whoever has begun them. */
export const maxTurns = 64

/** What an error event may name of the frame that it answers. */
export interface ClientFrameNames {
  streamId?: string | undefined
  eventId?: string | undefined
  model?: string | undefined
}
