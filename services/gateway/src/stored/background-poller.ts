import { setTimeout as delay } from 'node:timers/promises'
import type { KvRecord } from '@sluice/bus'
import type { BackgroundResponse, Project } from '@sluice/contracts'
import type { PriceBooks } from '@sluice/pricing'
import type { Logger } from '@sluice/runtime'
import { madeIdsOf } from '@sluice/usage'
import { type AskDeps, askProvider } from '../exchanges/ask-provider.ts'
import type { Journal } from '../journal/journal.ts'
import { HandedUse, tellHomes } from '../leases/handed-money.ts'
import type { LeasePublisher } from '../leases/lease-publisher.ts'
import type { Route, RouteResolver } from '../resolve-route.ts'
import { endsCalls } from '../stop-calls.ts'
import type { BudgetsView } from '../views/budgets-view.ts'
import type { KeysView } from '../views/keys-view.ts'
import type { MadeObjects } from '../views/made-objects-view.ts'
import type { PricesView } from '../views/prices-view.ts'
import type { ProjectsView } from '../views/projects-view.ts'
import { keyOf, type OwedWord, type StoredResponses } from '../views/stored-responses-view.ts'
import { type CutReason, draftOfBackground } from './background-draft.ts'
import { parseResponse, type ToldResponse } from './response-object.ts'

export interface PollerDeps extends AskDeps {
  stored: StoredResponses
  made: MadeObjects
  journal: Journal
  routes: RouteResolver
  projects: Pick<ProjectsView, 'find'>
  keys: Pick<KeysView, 'findById'>
  budgets: Pick<BudgetsView, 'match' | 'findCutoff' | 'findStop'>
  prices: Pick<PricesView, 'find' | 'isPublished'>
  homes: Pick<LeasePublisher, 'report'>
  log: Logger
  /** Between two looks at a young response; an old one waits a tenth of its age, a minute at most. */
  minIntervalMs: number
  now?: () => number
}

/** How far a look has brought a response. */
export type LookOutcome = 'settled' | 'running' | 'elsewhere' | 'failed'

const maxIntervalMs = 60_000
/** A look takes no longer; until then it is nobody else's. */
const lookMs = 30_000
const maxAtOnce = 8
const maxAnswerBytes = 64 * 1024 * 1024
/** How long who asks waits for a look that began before, and for others who have the record. */
const patienceMs = 5_000
const betweenTriesMs = 50
/** Homes know of younger ones well enough. */
const spokenOfMs = 60 * 60_000
/** A provider that does not know a response for so long has lost it. */
const lostAfterMs = 10 * 60_000
/** Longer than any response is worked on. */
const givenUpAfterMs = 7 * 24 * 60 * 60_000

/**
 * Looks at background responses until they have ended, and settles them, whoever asks for them or nobody. All gateways run
 * one; a response is looked at by whoever first moves its `next_look_at_ms` by compare-and-set. One whose maker has no more
 * money or no more permission is cancelled, and pays for what it has said.
 */
export class BackgroundPoller {
  readonly #deps: PollerDeps
  readonly #now: () => number
  readonly #looking = new Map<string, Promise<LookOutcome>>()
  /** Settlements under way here: another one would make the same event a second time. */
  readonly #settling = new Map<string, Promise<void>>()
  readonly #stop = new AbortController()
  readonly #timer: NodeJS.Timeout

  constructor(deps: PollerDeps) {
    this.#deps = deps
    this.#now = deps.now ?? Date.now
    this.#timer = setInterval(() => this.#tick(), Math.min(1_000, deps.minIntervalMs))
  }

  get minIntervalMs(): number {
    return this.#deps.minIntervalMs
  }

  /** Aborted when this one closes. */
  get stopping(): AbortSignal {
    return this.#stop.signal
  }

  /** Ends a response whose maker has gone without hearing of it: now, if that can be, else when it is looked at next. */
  async giveUp({ identity, response_id }: BackgroundResponse): Promise<void> {
    await this.#deps.stored.giveUp(keyOf(identity.project_id, response_id))
    await this.look(identity.project_id, response_id)
  }

  /**
   * Cancels a response that could not be recorded and settles it as its provider then tells it. Never throws.
   * @returns false: not this time
   */
  async settleByCancelling(job: BackgroundResponse): Promise<boolean> {
    try {
      const told = await this.#ask(job, true)
      if (!told?.ended) return false
      const word = await this.#write(job, told, undefined)
      if (word) await this.#tell(word)
      return true
    } catch (err) {
      this.#deps.log.warn({ err, callId: job.call_id }, 'a background response is neither recorded nor cancelled yet')
      return false
    }
  }

  /** Looks at a response now, due or not. */
  look(projectId: string, responseId: string): Promise<LookOutcome> {
    return this.#look(keyOf(projectId, responseId), { onlyIfDue: false })
  }

  /**
   * As `look`, for who may know that the response has ended: by a look that begins from now on. One under way may have asked
   * before the end, and whoever has the record just now may be settling it: both are waited for, a few seconds. Never throws.
   */
  async lookAfresh(projectId: string, responseId: string): Promise<LookOutcome> {
    const key = keyOf(projectId, responseId)
    const patience = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(patienceMs)])
    const before = [this.#looking.get(key), this.#settling.get(key)].filter(under => under !== undefined)
    // One that is silent for longer says that the provider cannot be asked.
    if (!(await hasEnded(Promise.allSettled(before), patience))) return 'failed'
    for (;;) {
      const outcome = await this.look(projectId, responseId)
      if (outcome !== 'elsewhere' || patience.aborted) return outcome
      await delay(betweenTriesMs, undefined, { signal: patience }).catch(() => undefined)
    }
  }

  /** Settles a response that somebody was just told of, if it has ended and is not settled. Never throws. */
  async settleAsTold(projectId: string, told: ToldResponse): Promise<void> {
    if (!told.ended) return
    const key = keyOf(projectId, told.id)
    try {
      const record = await this.#deps.stored.running.get(key)
      if (record?.value.response_id === told.id && !record.value.owes_word)
        await this.#settle(key, record, told, undefined)
    } catch (err) {
      // It is still in the bucket: the next look settles it.
      this.#deps.log.warn({ err }, 'a background response is not settled yet')
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    this.#stop.abort()
    await Promise.allSettled([...this.#looking.values(), ...this.#settling.values()])
  }

  #tick(): void {
    const nowMs = this.#now()
    for (const [key, job] of this.#deps.stored.underWay()) {
      if (this.#looking.size >= maxAtOnce) return
      if (job.next_look_at_ms <= nowMs && !this.#looking.has(key)) void this.#look(key, { onlyIfDue: true })
    }
  }

  #look(key: string, how: { onlyIfDue: boolean }): Promise<LookOutcome> {
    const looking =
      this.#looking.get(key) ??
      this.#lookOnce(key, how).finally(() => {
        this.#looking.delete(key)
      })
    this.#looking.set(key, looking)
    return looking
  }

  async #lookOnce(key: string, { onlyIfDue }: { onlyIfDue: boolean }): Promise<LookOutcome> {
    const { stored, log } = this.#deps
    try {
      const record = await stored.running.get(key)
      if (!record) return 'settled'
      if (record.value.owes_word) return await this.#tellLater(key, record.value)
      if (onlyIfDue && record.value.next_look_at_ms > this.#now()) return 'elsewhere'
      const taken = await this.#move(key, record, lookMs)
      return taken ? await this.#lookAt(key, taken) : 'elsewhere'
    } catch (err) {
      if (!this.#stop.signal.aborted) log.warn({ err }, 'a background response could not be looked at')
      return 'failed'
    }
  }

  async #lookAt(key: string, taken: KvRecord<BackgroundResponse>): Promise<LookOutcome> {
    const job = taken.value
    const cutBy = this.#reasonToStop(job)
    const ageMs = this.#now() - job.admitted_at_ms
    try {
      const told = await this.#ask(job, cutBy !== undefined || job.given_up === true)
      if (told?.ended) return await this.#settle(key, taken, told, cutBy)
      if (told) {
        // Homes give up what nobody speaks of; that one does not answer now is no matter.
        if (job.held && ageMs > spokenOfMs)
          await tellHomes(this.#deps.homes, job.held, this.#now()).catch(() => undefined)
        await this.#move(key, taken, this.#intervalMs(ageMs))
        return ageMs > givenUpAfterMs ? await this.#settle(key, taken, undefined, cutBy) : 'running'
      }
      if (ageMs > lostAfterMs) return await this.#settle(key, taken, undefined, cutBy)
    } catch (error) {
      if (ageMs > givenUpAfterMs) return await this.#settle(key, taken, undefined, cutBy)
      await this.#move(key, taken, this.#intervalMs(ageMs))
      throw error
    }
    await this.#move(key, taken, this.#intervalMs(ageMs))
    return 'failed'
  }

  /** @returns undefined where the provider does not have it */
  async #ask(job: BackgroundResponse, isToEnd: boolean): Promise<ToldResponse | undefined> {
    const route = this.#routeOf(job)
    const path = `${route.basePath}/responses/${encodeURIComponent(job.response_id)}`
    const ask = async (method: 'GET' | 'POST', target: string) => {
      const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(lookMs / 3)])
      const { status, body } = await askProvider(this.#deps, route, {
        method,
        path: target,
        headers: [],
        maxBytes: maxAnswerBytes,
        signal,
      })
      if (status === 404) return undefined
      const told = status === 200 ? parseResponse(body) : undefined
      if (!told || told.id !== job.response_id)
        throw new Error(`the provider answered ${status}, with no such response`)
      return told
    }
    const told = await ask('GET', path)
    return isToEnd && told && !told.ended ? await ask('POST', `${path}/cancel`) : told
  }

  /** The way to the response: by the access it was made with. @throws Error where that is no longer there */
  #routeOf(job: BackgroundResponse): Route {
    const { routes, projects } = this.#deps
    const route = routes.ofAccess(projects.find(job.identity.project_id), 'openai', job.access)
    if (!route) throw new Error('the credential that a response was made with is no longer there')
    return route
  }

  #reasonToStop(job: BackgroundResponse): CutReason | undefined {
    const { projects, keys, budgets } = this.#deps
    const { identity } = job
    const project: Project | undefined = projects.find(identity.project_id)
    if (!project || project.disabled) return { reason: 'project_disabled' }
    if (identity.key_id !== undefined && !keys.findById(identity.key_id)) return { reason: 'credential_revoked' }
    const stop = budgets.findStop(identity, job.claimed)
    if (stop && (stop.kind !== 'balance_exhausted' || job.paid_by === 'managed'))
      return { reason: stop.kind ?? 'stopped_by_admin' }
    for (const { budget, copy } of budgets.match(identity, 'openai', job.requested_model, job.claimed)) {
      const cutoff = budgets.findCutoff(budget.budget_id, copy, this.#now())
      if (cutoff && endsCalls(cutoff)) return { reason: cutoff.reason, budget_id: budget.budget_id, copy }
    }
    return undefined
  }

  /** Into the journal, and only then out of the bucket: who dies in between leaves it to be settled again, as the same event. */
  async #settle(
    key: string,
    record: KvRecord<BackgroundResponse>,
    told: ToldResponse | undefined,
    cutBy: CutReason | undefined,
  ): Promise<LookOutcome> {
    const settling = this.#settling.get(key) ?? this.#settleOnce(key, record, told, cutBy)
    this.#settling.set(key, settling)
    await settling.finally(() => this.#settling.delete(key))
    return 'settled'
  }

  async #settleOnce(
    key: string,
    record: KvRecord<BackgroundResponse>,
    told: ToldResponse | undefined,
    cutBy: CutReason | undefined,
  ): Promise<void> {
    const word = await this.#write(record.value, told, cutBy)
    if (!word || (await this.#isTold(word))) await this.#deps.stored.forgetSettled(key)
    else await this.#deps.stored.keepWord(key, word)
  }

  /** It is settled, whether its homes answer now or later. */
  async #tellLater(key: string, { held, owes_word, next_look_at_ms }: BackgroundResponse): Promise<LookOutcome> {
    if (next_look_at_ms > this.#now()) return 'settled'
    const word = held && owes_word && { held, owes_word, next_look_at_ms: this.#now() + lookMs }
    if (!word || (await this.#isTold(word))) await this.#deps.stored.forgetSettled(key)
    else await this.#deps.stored.keepWord(key, word)
    return 'settled'
  }

  async #isTold(word: OwedWord): Promise<boolean> {
    try {
      await this.#tell(word)
      return true
    } catch (err) {
      if (!this.#stop.signal.aborted)
        this.#deps.log.warn({ err }, 'what a background response has held is not given back yet')
      return false
    }
  }

  #tell({ held, owes_word: { lost } }: OwedWord): Promise<void> {
    return tellHomes(this.#deps.homes, held, this.#now(), lost)
  }

  /** @returns what homes are to hear of it: undefined: nothing was held */
  async #write(
    job: BackgroundResponse,
    told: ToldResponse | undefined,
    cutBy: CutReason | undefined,
  ): Promise<OwedWord | undefined> {
    const { journal, made } = this.#deps
    const wasCut = cutBy && told?.status === 'cancelled' ? cutBy : undefined
    const draft = draftOfBackground(job, told, this.#booksOf(job), { finishedAtMs: this.#now(), cutBy: wasCut })
    const event = journal.close(draft, { urgent: true })
    if (job.access === 'managed' && told)
      made.add(job.identity.project_id, [job.response_id, ...madeIdsOf(told.object.output)], this.#now())
    await journal.synced()
    if (!job.held) return undefined
    const use = new HandedUse(job.held)
    use.count(event)
    const owes = told ? {} : { lost: event.event_id }
    return { held: use.settled(), owes_word: owes, next_look_at_ms: this.#now() + lookMs }
  }

  /** Undefined: a book that is gone for ever. @throws Error where it is on its way */
  #booksOf(job: BackgroundResponse): PriceBooks | undefined {
    const { prices } = this.#deps
    const books = [job.price_book_id, job.override_price_book_id].map(id => {
      if (id === undefined) return undefined
      const book = prices.find(id)
      if (!book && prices.isPublished(id)) throw new Error(`price book ${id} is not loaded yet`)
      return book
    })
    const [book, override] = books
    return book && { book, override }
  }

  async #move(
    key: string,
    record: KvRecord<BackgroundResponse>,
    forMs: number,
  ): Promise<KvRecord<BackgroundResponse> | undefined> {
    const value = { ...record.value, next_look_at_ms: this.#now() + forMs }
    const revision = await this.#deps.stored.running.update(key, value, record.revision)
    return revision === undefined ? undefined : { value, revision }
  }

  #intervalMs(ageMs: number): number {
    return Math.min(Math.max(Math.floor(ageMs / 10), this.#deps.minIntervalMs), maxIntervalMs)
  }
}

/** Waits for what never rejects. False: the signal came first. */
async function hasEnded(waitedFor: Promise<unknown>, signal: AbortSignal): Promise<boolean> {
  const waiting = new AbortController()
  const tooLate = new Promise<boolean>(resolve => {
    signal.addEventListener('abort', () => resolve(false), { signal: waiting.signal })
  })
  return await Promise.race([waitedFor.then(() => true), tooLate]).finally(() => waiting.abort())
}
