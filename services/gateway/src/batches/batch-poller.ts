import type { KvRecord } from '@sluice/bus'
import type { BatchJob } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'
import { askProvider } from '../exchanges/ask-provider.ts'
import { HandedUse, tellHomes } from '../leases/handed-money.ts'
import type { LeasePublisher } from '../leases/lease-publisher.ts'
import type { RouteResolver } from '../resolve-route.ts'
import type { BatchJobsView, KeptBatch } from '../views/batch-jobs-view.ts'
import type { ProjectsView } from '../views/projects-view.ts'
import { headersForBatch, routeOfBatch } from './batch-access.ts'
import { type BatchStanding, batchDialects } from './batch-dialect.ts'
import { isOwned, type OwnedBatch } from './batch-draft.ts'
import { type BatchEvents, isStuck } from './batch-events.ts'
import { countResults } from './count-results.ts'
import { type SettleDeps, type SettledResults, type SettleProgress, settleResults } from './settle-results.ts'

export interface PollerDeps extends SettleDeps {
  jobs: BatchJobsView
  routes: RouteResolver
  projects: ProjectsView
  gatewayId: string
  events: BatchEvents
  log: Logger
  homes: Pick<LeasePublisher, 'report'>
  /** Between two looks at a young batch; an old one waits a twentieth of its age, five minutes at most. */
  minIntervalMs: number
  /** A gateway that has not said for so long that it still settles a batch has lost it. */
  leaseMs?: number
  now?: () => number
}

/** How far a look has brought a batch. `elsewhere`: another gateway is at it. */
export type LookOutcome = 'settled' | 'running' | 'elsewhere' | 'failed'

const maxIntervalMs = 5 * 60 * 1000
const tickMs = 1_000
const maxAtOnce = 4
/** Between two tries to settle what cannot be settled: the lease, doubled each time, up to here. */
const maxPutOffMs = 60 * 60 * 1000
/** Providers keep results for 29 or 30 days. */
const resultsKeptMs = 30 * 24 * 60 * 60 * 1000

function isSettled(state: BatchJob['state']): boolean {
  return state === 'settled' || state === 'settled_estimated'
}

/** It has ended, and the homes have not heard what became of its money. */
function owesWord({ state, held }: BatchJob): boolean {
  return held !== undefined && !held.told && (isSettled(state) || state === 'lost')
}

/** What is held for a batch that is lost, with what those of its results have used that were read before. */
function usedOf({ held, unsettled }: Pick<BatchJob, 'held' | 'unsettled'>): Pick<BatchJob, 'held'> {
  if (!held) return {}
  return {
    held: { ...held, leases: held.leases.map((lease, at) => ({ ...lease, settled: unsettled?.used?.[at] ?? 0 })) },
  }
}

/** The most that any try has seen used of each lease: a later one may have come less far. */
function mostUsed(before: BatchJob['unsettled'], use: HandedUse | undefined): number[] | undefined {
  return use?.settled().leases.map(({ settled = 0 }, at) => Math.max(settled, before?.used?.[at] ?? 0))
}

/** The attempt under which an exact budget sets aside what nobody has seen the end of. Undefined: all of it was seen. */
function doubtOf({ state, creator }: BatchJob): string | undefined {
  return state === 'lost' || state === 'settled_estimated' ? creator?.event_id : undefined
}

/** Thrown inside a settlement that another gateway has taken over. */
class TakenOverError extends Error {
  override name = 'TakenOverError'
}

/**
 * Looks at batches until they have ended, and settles them, whoever downloads results or not. All gateways run one; a batch
 * is looked at by whoever first moves its `next_look_at_ms` by compare-and-set. Who settles moves it on while it works; who
 * dies does not, and when it has passed the batch is anybody's, to be settled from the start under the same ids.
 */
export class BatchPoller {
  readonly #deps: PollerDeps
  readonly #leaseMs: number
  readonly #now: () => number
  readonly #looking = new Map<string, Promise<LookOutcome>>()
  readonly #stop = new AbortController()
  readonly #timer: NodeJS.Timeout

  constructor(deps: PollerDeps) {
    this.#deps = deps
    this.#leaseMs = deps.leaseMs ?? 60_000
    this.#now = deps.now ?? Date.now
    this.#timer = setInterval(() => this.#tick(), Math.min(tickMs, deps.minIntervalMs))
  }

  /** Looks at a batch now, due or not, and settles it if it has ended. */
  async look({ key }: KeptBatch): Promise<LookOutcome> {
    // One under way may have asked before the batch ended, which the caller may know to have.
    const under = await this.#looking.get(key)
    if (under === 'settled' || under === 'failed') return under
    return this.#look(key, { onlyIfDue: false })
  }

  /** Stops looking; a settlement under way is given up and taken up by another gateway, or the next run. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    this.#stop.abort()
    await Promise.allSettled(this.#looking.values())
  }

  #tick(): void {
    const nowMs = this.#now()
    if (this.#looking.size >= maxAtOnce) return
    const due = [...this.#deps.jobs.all()].filter(
      ({ key, job }) =>
        (job.state === 'running' || owesWord(job)) && !this.#looking.has(key) && this.#isDue(job, nowMs),
    )
    // Who has waited longest is next: many young batches must not keep an ended one waiting.
    due.sort((a, b) => a.job.next_look_at_ms - b.job.next_look_at_ms)
    for (const { key } of due.slice(0, maxAtOnce - this.#looking.size)) void this.#look(key, { onlyIfDue: true })
  }

  #look(key: string, how: { onlyIfDue: boolean }): Promise<LookOutcome> {
    const under = this.#looking.get(key)
    if (under) return under
    const looking = this.#lookOnce(key, how).finally(() => this.#looking.delete(key))
    this.#looking.set(key, looking)
    return looking
  }

  async #lookOnce(key: string, { onlyIfDue }: { onlyIfDue: boolean }): Promise<LookOutcome> {
    const { records } = this.#deps.jobs
    let held: KvRecord<BatchJob> | undefined
    try {
      const record = await records.get(key)
      if (!record || !isOwned(record.value)) return 'failed'
      if (owesWord(record.value)) await this.#tellEnd(key, record)
      if (record.value.state !== 'running') return isSettled(record.value.state) ? 'settled' : 'failed'
      if (!this.#isDue(record.value, this.#now())) {
        if (onlyIfDue || record.value.settling === true) return 'elsewhere'
        if (this.#isPutOff(record.value)) return 'failed'
      }
      held = await this.#move(key, record, { next_look_at_ms: this.#now() + this.#leaseMs })
      if (!held) return 'elsewhere'
      return await this.#lookAt(key, held as KvRecord<OwnedBatch>)
    } catch (error) {
      if (this.#stop.signal.aborted) return 'failed'
      if (error instanceof TakenOverError) return 'elsewhere'
      if (held) this.#deps.events.lookFailed(held.value, error)
      return 'failed'
    }
  }

  async #lookAt(key: string, taken: KvRecord<OwnedBatch>): Promise<LookOutcome> {
    const { events } = this.#deps
    const job = taken.value
    const standing = await this.#ask(job)
    if (!standing) {
      if (this.#now() - job.created_at_ms > resultsKeptMs) {
        await this.#move(key, taken, { state: 'lost', ...usedOf(job) })
        events.batchLost(job)
        return 'failed'
      }
      await this.#move(key, taken, { next_look_at_ms: this.#nextLookAtMs(job) })
      throw new Error('the provider does not have the batch')
    }
    if (!standing.ended) {
      // Homes give up what nobody speaks of; that one does not answer now is no matter.
      if (job.held) await tellHomes(this.#deps.homes, job.held, this.#now()).catch(() => undefined)
      await this.#move(key, taken, { next_look_at_ms: this.#nextLookAtMs(job) })
      return 'running'
    }
    return this.#settle(key, taken, standing)
  }

  async #settle(key: string, taken: KvRecord<OwnedBatch>, standing: BatchStanding): Promise<LookOutcome> {
    const { jobs, gatewayId, events } = this.#deps
    const job = taken.value
    let held: KvRecord<OwnedBatch> = taken
    let renewAtMs = this.#now() + this.#leaseMs / 3
    const renew = async (): Promise<void> => {
      if (this.#now() < renewAtMs) return
      const renewed = await this.#move(key, held, {
        next_look_at_ms: this.#now() + this.#leaseMs,
        settling: true,
        ...(standing.resultFileIds.length > 0 && { result_file_ids: standing.resultFileIds }),
      })
      if (!renewed) throw new TakenOverError()
      held = renewed
      renewAtMs = this.#now() + this.#leaseMs / 3
    }
    renewAtMs = 0
    await renew()
    const route = routeOfBatch(this.#deps, job)
    const progress = { lines: 0, use: job.held && new HandedUse(job.held) }
    const control = { headers: headersForBatch(job), stillOurs: renew, signal: this.#stop.signal, progress }
    let total: SettledResults
    try {
      // What has failed once is counted first: its events are written again only where that brings something.
      if (job.unsettled)
        await countResults(this.#deps, route, job, standing, { ...control, written: job.unsettled.lines })
      total = await settleResults(this.#deps, route, job, standing, control)
    } catch (error) {
      if (error instanceof TakenOverError || this.#stop.signal.aborted) throw error
      await this.#putOff(key, held, progress)
      throw error
    }
    const { settling: _, unsettled: __, ...rest } = held.value
    const settled: BatchJob = {
      ...rest,
      ...(total.held && { held: total.held }),
      state: total.unreadable > 0 ? 'settled_estimated' : 'settled',
      next_look_at_ms: this.#now(),
      settlement: {
        settled_at_ms: this.#now(),
        settled_by: gatewayId,
        results: total.results,
        succeeded: total.succeeded,
        unreadable: total.unreadable,
        cost_nano_usd: String(total.costNanoUsd),
      },
    }
    // Who was slower than its lease has settled the same events as whoever took over: nothing is lost by not saying so.
    const revision = await jobs.records.update(key, settled, held.revision)
    if (revision === undefined) return 'elsewhere'
    events.batchSettled(settled, total)
    await this.#tellEnd(key, { value: settled, revision })
    return 'settled'
  }

  /** Tells the homes what its results have used, once their events are in the journal; where one is silent, again later. */
  async #tellEnd(key: string, record: KvRecord<BatchJob>): Promise<void> {
    const { homes, jobs, log } = this.#deps
    const { held } = record.value
    if (!held || held.told) return
    try {
      await tellHomes(homes, held, this.#now(), doubtOf(record.value))
      await jobs.records.update(key, { ...record.value, held: { ...held, told: true } }, record.revision)
    } catch (err) {
      if (!this.#stop.signal.aborted) log.warn({ err }, 'what a batch has held is not given back yet')
      await this.#move(key, record, { next_look_at_ms: this.#now() + this.#leaseMs }).catch(() => undefined)
    }
  }

  /** Leaves a batch that could not be settled for a while, the longer the more often; at last for good. */
  async #putOff(key: string, held: KvRecord<OwnedBatch>, { lines, use }: SettleProgress): Promise<void> {
    const { events } = this.#deps
    const nowMs = this.#now()
    const before = held.value.unsettled
    const tries = (before?.tries ?? 0) + 1
    const lost = nowMs - held.value.created_at_ms > resultsKeptMs
    const used = mostUsed(before, use)
    const unsettled = {
      tries,
      last_try_at_ms: nowMs,
      lines: Math.max(before?.lines ?? 0, lines),
      ...(used && { used }),
    }
    const putOff = await this.#move(key, held, {
      ...(lost && { state: 'lost', ...usedOf({ ...held.value, unsettled }) }),
      settling: false,
      unsettled,
      next_look_at_ms: nowMs + Math.min(this.#leaseMs * 2 ** Math.min(tries - 1, 16), maxPutOffMs),
    })
    if (!putOff) throw new TakenOverError()
    if (lost) events.batchLost(putOff.value)
    else if (isStuck(putOff.value)) events.batchStuck(putOff.value)
  }

  async #ask(job: OwnedBatch): Promise<BatchStanding | undefined> {
    const dialect = batchDialects[job.dialect]
    const route = routeOfBatch(this.#deps, job)
    const answer = await askProvider(this.#deps, route, {
      method: 'GET',
      path: `${route.basePath}${dialect.objectPath(job.batch_id)}`,
      headers: headersForBatch(job),
      signal: this.#stop.signal,
    })
    if (answer.status === 404) return undefined
    if (answer.status !== 200) throw new Error(`the provider answered ${answer.status}`)
    const standing = dialect.readStanding(JSON.parse(answer.body.toString('utf8')))
    if (standing?.id !== job.batch_id) throw new Error('the provider answered with something else than the batch')
    return standing
  }

  /** Undefined: somebody else was first. */
  async #move(
    key: string,
    record: KvRecord<BatchJob>,
    change: Partial<BatchJob>,
  ): Promise<KvRecord<OwnedBatch> | undefined> {
    const value = { ...record.value, taken_by: this.#deps.gatewayId, ...change } as OwnedBatch
    const revision = await this.#deps.jobs.records.update(key, value, record.revision)
    return revision === undefined ? undefined : { value, revision }
  }

  /** What an earlier run of ours was settling when it ended is ours at once. */
  #isDue(job: BatchJob, nowMs: number): boolean {
    return job.next_look_at_ms <= nowMs || (job.settling === true && job.taken_by === this.#deps.gatewayId)
  }

  /** It has just failed to be settled: nothing is different yet, whoever asks. */
  #isPutOff({ unsettled }: BatchJob): boolean {
    return unsettled !== undefined && this.#now() - unsettled.last_try_at_ms < this.#leaseMs
  }

  #nextLookAtMs(job: BatchJob): number {
    const nowMs = this.#now()
    const byAge = Math.floor((nowMs - job.created_at_ms) / 20)
    return nowMs + Math.min(Math.max(byAge, this.#deps.minIntervalMs), maxIntervalMs)
  }
}
