import type { Project, RealtimeCall } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'
import { counter, gauge } from '@sluice/telemetry'
import type { Principal } from '../authenticate.ts'
import { integrationChanged } from '../integration-changed.ts'
import { Refusal } from '../refusal.ts'
import type { GatewayDeps } from '../request-path.ts'
import { isSameUpstream, type Route } from '../resolve-route.ts'
import { keyOfCall, type RealtimeCalls } from '../views/realtime-calls-view.ts'
import { contextOfCall, principalOfCall, routeOfCall } from './call-record.ts'
import { hangUpAtProvider } from './hang-up-at-provider.ts'
import { joinCall } from './join-call.ts'
import type { KnownCall, KnownCalls, NotedCall } from './known-calls.ts'
import type { SocketContext } from './socket-context.ts'
import { UpstreamRefusal } from './upstream-socket.ts'

export interface KeeperOptions {
  calls: RealtimeCalls
  /** This run. */
  gatewayId: string
  epoch: number
  /** A call whose record stands still for so long has lost its gateway. */
  leaseMs: number
  /** Notes of runs that have ended; more may come. */
  noted: KnownCalls[]
  log: Logger
}

type EndDeps = Pick<GatewayDeps, 'upstreams'>

/** A call that this gateway has to end at its provider. */
interface Ending {
  callId: string
  projectId: string
  sinceMs: number
  /** @throws Refusal where its access is gone, which may come back */
  route: () => Route
  headers: readonly string[]
  /** Where it is noted. */
  notes: KnownCalls | undefined
  isOver: boolean
  triedAt: number
  trying: Promise<boolean> | undefined
}

const tickMs = 500
const retryMs = 5_000
/** At once: of calls kept here, of which there may be thousands, and of those that nobody keeps. */
const maxRenewals = 256
const maxLooks = 16
/** No provider lets a call last so long: what cannot be ended until then has ended. */
const givenUpAfterMs = 24 * 60 * 60 * 1000
const closeTimeoutMs = 3_000

const lost = counter(
  'gateway_realtime_calls_lost_total',
  'Realtime calls whose gateway has ended, by what became of them',
  ['outcome'],
)

/**
 * Keeps every call that goes past the gateways either metered or ended. A call has a record that its gateway writes again
 * from time to time. When that gateway is proved to have ended, by its journal, whoever takes the call first meters it on; one
 * whose record only stands still is hung up, since nobody can say what of it is on record. Whatever process dies, between
 * whichever two writes, leaves the record, and with it a call that the others end or meter within a lease.
 */
export class CallKeeper {
  readonly #options: KeeperOptions
  readonly #endings = new Map<string, Ending>()
  /** Calls that this gateway is about to meter. */
  readonly #joining = new Set<string>()
  readonly #renewing = new Map<string, Promise<void>>()
  readonly #looking = new Map<string, Promise<void>>()
  #timer: NodeJS.Timeout | undefined

  constructor(options: KeeperOptions) {
    this.#options = options
    for (const outcome of ['metered', 'ended']) lost.labels(outcome).inc(0)
    gauge('gateway_realtime_calls_to_end', 'Realtime calls that have to end and run on at their provider', {
      read: () => this.#endings.size,
    })
  }

  get run(): { gatewayId: string; epoch: number } {
    return this.#options
  }

  /** Begins to look after calls. Before the first one is made here: what is noted until then was made by runs that have ended. */
  start(deps: GatewayDeps): void {
    this.#endNoted(deps)
    this.#timer = setInterval(() => this.#tick(deps), tickMs)
  }

  /** @throws Refusal 503 where no call can be recorded */
  requireRecords(): void {
    if (!this.#options.calls.isConnected()) throw recordsAway()
  }

  /**
   * Has a call that was just made joined, under a record; where that fails it is hung up.
   *
   * Nothing that dies in here leaves a call that speaks unmetered:
   * 1. Killed before the note: its client never gets the answer without which no sound flows.
   * 2. Noted, not recorded: the same, and whoever has this directory next hangs it up.
   * 3. Recorded, not joined: the record is left, or stands still, and others meter the call or hang it up.
   * 4. Joined: the note goes, the client is answered, and the record stays until the provider has ended the call.
   */
  async begin(deps: GatewayDeps, call: RealtimeCall, context: SocketContext, join: () => Promise<void>): Promise<void> {
    const { calls } = this.#options
    const projectId = call.identity.project_id
    const key = keyOfCall(projectId, call.call_id)
    const notes = deps.sockets.calls
    this.#joining.add(key)
    try {
      notes.add({ callId: call.call_id, projectId, access: call.access })
      const isNew = await calls.create(key, call).catch((cause: unknown) => {
        throw recordsAway(cause)
      })
      if (!isNew) throw new Error('the provider gave two calls one id')
      await join()
      notes.remove(call.call_id)
    } catch (error) {
      await this.#owe(
        deps,
        this.#endingOf({ callId: call.call_id, projectId }, () => context.route, {
          headers: context.headers.forwarded,
          notes,
        }),
      )
      throw error
    } finally {
      this.#joining.delete(key)
    }
  }

  /** Ends a call that is metered here, unless another gateway has it by now. @returns whether it is over */
  async end(deps: GatewayDeps, call: KnownCall, context: SocketContext): Promise<boolean> {
    const record = this.#options.calls.find(keyOfCall(call.projectId, call.callId))
    // This run was taken for ended, and the call is metered elsewhere: it is not ours to end.
    if (record && record.state !== 'ending' && !this.#isOurs(record)) return true
    return this.#owe(
      deps,
      this.#endingOf(call, () => context.route, { headers: context.headers.forwarded }),
    )
  }

  /**
   * Ends a call of a project, whichever gateway meters it: that one hears its end from the provider.
   * @returns undefined: the project has no such call; false: not yet, it is tried again
   * @throws Refusal 503 where nobody can say whose call it is
   */
  async hangUp(deps: GatewayDeps, call: KnownCall): Promise<boolean | undefined> {
    const taken = await this.#takeToEnd(call, () => true).catch((cause: unknown) => {
      throw recordsAway(cause)
    })
    if (!taken) return undefined
    return this.#owe(
      deps,
      this.#endingOf(call, () => routeOfCall(deps, taken)),
    )
  }

  /** Waits a moment for what is being ended; what is not stays recorded, for the others. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    const ends = [...this.#endings.values()].map(ending => ending.trying)
    const timeout = new Promise(resolve => setTimeout(resolve, closeTimeoutMs).unref())
    await Promise.race([Promise.allSettled([...this.#renewing.values(), ...this.#looking.values(), ...ends]), timeout])
  }

  // ── looking after ───────────────────────────────────────────────────────────────────────────────────────────────────

  #tick(deps: GatewayDeps): void {
    const { calls, leaseMs } = this.#options
    if (!calls.isConnected()) calls.wasDeaf()
    this.#endNoted(deps)
    for (const [key, ending] of this.#endings)
      if (performance.now() - ending.triedAt >= retryMs) void this.#try(deps, key, ending)
    for (const [key, call] of calls.entries()) {
      if (this.#renewing.has(key) || this.#looking.has(key) || this.#joining.has(key)) continue
      const isKept = this.#isOurs(call) && (this.#endings.has(key) || deps.sockets.hasJoined(call.call_id))
      if (!isKept) this.#start(this.#looking, maxLooks, key, this.#workFor(deps, key, call))
      else if (calls.stoodStillMs(key) >= leaseMs / 3)
        this.#start(this.#renewing, maxRenewals, key, () => this.#renew(key))
    }
  }

  #start(running: Map<string, Promise<void>>, max: number, key: string, work: (() => Promise<void>) | undefined): void {
    if (!work || running.size >= max) return
    const { calls, log } = this.#options
    const done = work()
      .catch(err => {
        // Where we cannot be heard the others cannot either.
        calls.wasDeaf()
        log.warn({ err }, 'a realtime call could not be looked after')
      })
      .finally(() => running.delete(key))
    running.set(key, done)
  }

  /** What a call needs that is not kept here; undefined: nothing now. */
  #workFor(deps: GatewayDeps, key: string, call: RealtimeCall): (() => Promise<void>) | undefined {
    const { calls, leaseMs } = this.#options
    if (this.#isOurs(call)) return () => this.#endLost(deps, key, call, true)
    const stillMs = calls.stoodStillMs(key)
    if (stillMs >= leaseMs) return () => this.#endLost(deps, key, call, false)
    if (call.state === 'left') return () => this.#meterOn(deps, key, call)
    // The one who has it may be as cut off as we are: what is not heard in this look does not count.
    return stillMs >= leaseMs / 2 ? () => calls.hear(key) : undefined
  }

  async #renew(key: string): Promise<void> {
    const state = this.#endings.has(key) ? 'ending' : undefined
    await this.#options.calls.change(key, call =>
      this.#isOurs(call) ? { ...call, state: state ?? call.state, renewed_at_ms: Date.now() } : undefined,
    )
  }

  /** Takes a call that its gateway has left, and meters it from here on. */
  async #meterOn(deps: GatewayDeps, key: string, left: RealtimeCall): Promise<void> {
    const { calls, log } = this.#options
    if (deps.closedFor(Date.now())) return
    const giveBack = reserve(deps)
    // Somebody else may have room; where nobody has, it is hung up after a lease.
    if (!giveBack) return
    this.#joining.add(key)
    try {
      const taken = await calls.change(key, call => (call.state === 'left' ? this.#ours(call, 'metered') : undefined))
      if (!taken) return
      const context = contextOfCall(deps, taken)
      const prove = (): Principal => {
        const principal = principalOfCall(deps, taken)
        if (!isSameUpstream(context.route, routeOfCall(deps, taken))) throw integrationChanged()
        return principal
      }
      const known = { callId: taken.call_id, projectId: taken.identity.project_id }
      await joinCall(deps, context, { ...taken, prove, hangUp: () => this.end(deps, known, context) })
      lost.labels('metered').inc()
      log.warn({ callId: left.made_by, from: left.gateway_id }, 'a realtime call is metered on by this gateway')
    } catch (err) {
      if (err instanceof UpstreamRefusal && err.status === 404) {
        await calls.forget(key)
        return
      }
      log.warn({ err, callId: left.made_by }, 'a realtime call cannot be metered on, and is hung up')
      await this.#endLost(deps, key, left, true)
    } finally {
      this.#joining.delete(key)
      giveBack()
    }
  }

  /** Nobody meters this call: it has to end. */
  async #endLost(deps: GatewayDeps, key: string, call: RealtimeCall, isOurs: boolean): Promise<void> {
    const known = { callId: call.call_id, projectId: call.identity.project_id }
    const taken = await this.#takeToEnd(known, now =>
      isOurs ? this.#isOurs(now) : now.gateway_id === call.gateway_id && now.renewed_at_ms === call.renewed_at_ms,
    )
    if (!taken || this.#endings.has(key)) return
    lost.labels('ended').inc()
    this.#options.log.warn({ callId: call.made_by, from: call.gateway_id }, 'a realtime call has no gateway: hung up')
    const ending = this.#endingOf(known, () => routeOfCall(deps, taken))
    await this.#owe(deps, { ...ending, sinceMs: taken.created_at_ms })
  }

  #takeToEnd(
    { callId, projectId }: KnownCall,
    picks: (call: RealtimeCall) => boolean,
  ): Promise<RealtimeCall | undefined> {
    return this.#options.calls.change(keyOfCall(projectId, callId), call =>
      call.call_id === callId && call.identity.project_id === projectId && picks(call)
        ? this.#ours(call, 'ending')
        : undefined,
    )
  }

  // ── ending ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Hangs up what runs that have ended made and told to no client. */
  #endNoted(deps: GatewayDeps): void {
    for (const notes of this.#options.noted.splice(0))
      for (const call of notes.list()) {
        const project = deps.projects.find(call.projectId)
        if (project) {
          const route = (): Route => routeOfNoted(deps, project, call)
          void this.#owe(deps, this.#endingOf(call, route, { notes }))
        } else notes.remove(call.callId)
      }
  }

  #endingOf(call: KnownCall, route: () => Route, how: Partial<Pick<Ending, 'headers' | 'notes'>> = {}): Ending {
    const { callId, projectId } = call
    const fresh = { headers: [], notes: undefined, isOver: false, triedAt: 0, trying: undefined }
    return { callId, projectId, sinceMs: Date.now(), route, ...fresh, ...how }
  }

  #owe(deps: EndDeps, owed: Ending): Promise<boolean> {
    const key = keyOfCall(owed.projectId, owed.callId)
    const ending = this.#endings.get(key) ?? owed
    this.#endings.set(key, ending)
    return this.#try(deps, key, ending)
  }

  #try(deps: EndDeps, key: string, ending: Ending): Promise<boolean> {
    ending.triedAt = performance.now()
    ending.trying ??= this.#tryOnce(deps, key, ending).finally(() => {
      ending.trying = undefined
    })
    return ending.trying
  }

  /** Ended at the provider first, and only then forgotten: who dies in between leaves it to be ended once more, which is told as over. */
  async #tryOnce(deps: EndDeps, key: string, ending: Ending): Promise<boolean> {
    const { calls, log } = this.#options
    const { callId, projectId } = ending
    try {
      ending.isOver ||= await hangUpAtProvider(deps, ending.route(), callId, ending.headers)
    } catch (err) {
      log.warn({ err, projectId }, 'a realtime call is not hung up yet')
    }
    if (!ending.isOver && Date.now() - ending.sinceMs > givenUpAfterMs) {
      log.error({ projectId }, 'a realtime call could not be hung up for a day')
      ending.isOver = true
    }
    if (!ending.isOver) return false
    ending.notes?.remove(callId)
    await calls.forget(key).then(
      () => this.#endings.delete(key),
      err => log.warn({ err, projectId }, 'a realtime call that is over is not forgotten yet'),
    )
    return true
  }

  #isOurs({ state, gateway_id, epoch }: RealtimeCall): boolean {
    return state !== 'left' && gateway_id === this.#options.gatewayId && epoch === this.#options.epoch
  }

  #ours(call: RealtimeCall, state: RealtimeCall['state']): RealtimeCall {
    const { gatewayId, epoch } = this.#options
    return { ...call, state, gateway_id: gatewayId, epoch, renewed_at_ms: Date.now() }
  }
}

function reserve({ sockets }: GatewayDeps): (() => void) | undefined {
  try {
    return sockets.reserve()
  } catch (error) {
    if (error instanceof Refusal) return undefined
    throw error
  }
}

function recordsAway(cause?: unknown): Refusal {
  return new Refusal(
    'records_unavailable',
    'This gateway cannot look up or record realtime calls right now. Try again in a moment.',
    { retryAfterS: 1, cause },
  )
}

/** @throws Refusal where the access that the call was made by is no longer there */
function routeOfNoted({ routes }: GatewayDeps, project: Project, { access }: NotedCall): Route {
  if (access === undefined) return routes.resolve(project, 'openai', 'unassigned')
  const route = routes.ofAccess(project, 'openai', access)
  if (!route)
    throw new Refusal('provider_not_configured', 'The credential that this call was made with is no longer there.')
  return route
}
