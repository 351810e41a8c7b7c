import type { BatchJob, Dialect } from '@sluice/contracts'
import { type AskDeps, askProvider } from '../exchanges/ask-provider.ts'
import { HandedUse, tellHomes } from '../leases/handed-money.ts'
import type { LeasePublisher } from '../leases/lease-publisher.ts'
import type { Route, RouteResolver } from '../resolve-route.ts'
import { type BatchJobsView, type KeptBatch, keyOfFound } from '../views/batch-jobs-view.ts'
import type { ProjectsView } from '../views/projects-view.ts'
import { headersForBatch, routeOfBatch } from './batch-access.ts'
import { type BatchStanding, batchDialects } from './batch-dialect.ts'
import type { BatchEvents } from './batch-events.ts'
import { chooseCreation, isOrphaned, type OwnRun } from './match-creation.ts'

export interface FinderDeps extends AskDeps {
  jobs: BatchJobsView
  routes: RouteResolver
  projects: ProjectsView
  events: BatchEvents
  own: OwnRun
  homes: Pick<LeasePublisher, 'report'>
  intervalMs: number
  now?: () => number
}

/** How far back a listing goes: batches that were made while nobody listed are found for so long. */
const lookBackMs = 3 * 24 * 60 * 60 * 1000
const maxPages = 50
/** A creation that no batch has turned up for: the provider never made one. */
const forgetCreationMs = 24 * 60 * 60 * 1000

interface Access {
  dialect: Dialect
  access: string
  route: Route
  headers: readonly string[]
}

/**
 * Lists the batches at the providers and compares: one that nobody has recorded is either the lost answer of a creation,
 * which it is then given to, or was made behind our back, which is told. Lists the operator's own access regularly, and any
 * access at once where a creation has lost its answer.
 */
export class BatchFinder {
  readonly #deps: FinderDeps
  readonly #now: () => number
  readonly #stop = new AbortController()
  readonly #timer: NodeJS.Timeout
  #listedAtMs: number
  #listing: Promise<void> | undefined

  constructor(deps: FinderDeps) {
    this.#deps = deps
    this.#now = deps.now ?? Date.now
    this.#listedAtMs = this.#now()
    this.#timer = setInterval(() => this.#tick(), Math.min(deps.intervalMs, 5_000))
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    this.#stop.abort()
    await this.#listing
  }

  #tick(): void {
    if (this.#listing) return
    const nowMs = this.#now()
    const isDue = nowMs - this.#listedAtMs >= this.#deps.intervalMs
    const accesses = this.#accessesToList(isDue)
    if (accesses.length === 0) return
    if (isDue) this.#listedAtMs = nowMs
    this.#listing = this.#listAll(accesses).finally(() => {
      this.#listing = undefined
    })
  }

  /** Those of creations without an answer, and the operator's own where `alsoManaged`. */
  #accessesToList(alsoManaged: boolean): Access[] {
    const found = new Map<string, Access>()
    const add = (job: Pick<BatchJob, 'dialect' | 'access' | 'creator' | 'workspace_id'>): void => {
      const { dialect, access, workspace_id: workspace = '' } = job
      const name = `${dialect} ${access} ${workspace}`
      if (found.has(name)) return
      try {
        found.set(name, { dialect, access, route: routeOfBatch(this.#deps, job), headers: headersForBatch(job) })
      } catch {
        // Without a way there is nothing to list; the batch itself is told of where it is overdue.
      }
    }
    for (const { job } of this.#creations()) if (isOrphaned(job, this.#deps.own, this.#now())) add(job)
    if (alsoManaged) for (const dialect of Object.keys(batchDialects) as Dialect[]) add({ dialect, access: 'managed' })
    return [...found.values()]
  }

  *#creations(): Iterable<KeptBatch> {
    for (const kept of this.#deps.jobs.all()) if (kept.job.state === 'creating') yield kept
  }

  async #listAll(accesses: readonly Access[]): Promise<void> {
    for (const access of accesses) {
      try {
        await this.#list(access)
        await this.#forgetCreations(access)
        await this.#dropRecorded(access)
      } catch (error) {
        if (!this.#stop.signal.aborted) this.#deps.events.notListed(access.access, access.dialect, error)
      }
    }
  }

  async #list(at: Access): Promise<void> {
    const dialect = batchDialects[at.dialect]
    const oldestMs = this.#now() - lookBackMs
    let after: string | undefined
    for (let page = 0; page < maxPages; page++) {
      const answer = await askProvider(this.#deps, at.route, {
        method: 'GET',
        path: `${at.route.basePath}${dialect.listPath(after)}`,
        headers: at.headers,
        signal: this.#stop.signal,
      })
      if (answer.status !== 200) throw new Error(`the provider answered ${answer.status}`)
      const { data, has_more } = JSON.parse(answer.body.toString('utf8')) as { data?: unknown; has_more?: unknown }
      if (!Array.isArray(data)) throw new Error('the provider answered with something else than a list')
      for (const object of data) {
        const standing = dialect.readStanding(object)
        if (!standing) continue
        after = standing.id
        // Newest first: everything behind it is older.
        if ((standing.createdAtMs ?? 0) < oldestMs) return
        if (!this.#deps.jobs.isRecorded(at.dialect, at.access, standing.id)) await this.#meet(at, standing)
      }
      if (has_more !== true || data.length === 0) return
    }
  }

  async #meet(at: Access, standing: BatchStanding): Promise<void> {
    const { jobs, own, events } = this.#deps
    const creations = [...this.#creations()].filter(({ job }) => job.dialect === at.dialect && job.access === at.access)
    const choice = chooseCreation(creations, standing, own, this.#now())
    // It may be the answer that another gateway is just reading.
    if (choice === 'wait') return
    if (choice === 'none') {
      const job: BatchJob = {
        state: 'unknown',
        dialect: at.dialect,
        access: at.access,
        paid_by: at.route.paidBy,
        served_by: at.route.servedBy,
        batch_id: standing.id,
        created_at_ms: standing.createdAtMs ?? this.#now(),
        next_look_at_ms: this.#now(),
      }
      const revision = await jobs.records.create(keyOfFound(at.dialect, at.access, standing.id), job)
      if (revision !== undefined) events.unknownFound(job)
      return
    }
    const record = await jobs.records.get(choice.key)
    if (record?.value.state !== 'creating') return
    const { answer_lost: _, ...creating } = record.value
    const adopted: BatchJob = {
      ...creating,
      state: 'running',
      batch_id: standing.id,
      created_at_ms: standing.createdAtMs ?? creating.created_at_ms,
      next_look_at_ms: this.#now(),
    }
    if ((await jobs.records.update(choice.key, adopted, record.revision)) !== undefined) events.adopted(adopted)
  }

  /** Found a moment before its creation was recorded. */
  async #dropRecorded(at: Access): Promise<void> {
    const { jobs } = this.#deps
    for (const { key, job } of jobs.all()) {
      const { dialect, access, batch_id: id } = job
      if (job.state !== 'unknown' || dialect !== at.dialect || access !== at.access || id === undefined) continue
      if (!jobs.isRecorded(dialect, access, id)) continue
      const record = await jobs.records.get(key)
      if (record) await jobs.records.delete(key, record.revision)
    }
  }

  async #forgetCreations(at: Access): Promise<void> {
    const nowMs = this.#now()
    for (const { key, job } of this.#creations()) {
      if (job.dialect !== at.dialect || job.access !== at.access) continue
      if (nowMs - job.created_at_ms < forgetCreationMs || !isOrphaned(job, this.#deps.own, nowMs)) continue
      const record = await this.#deps.jobs.records.get(key)
      if (record?.value.state !== 'creating') continue
      const { held } = record.value
      if (held) await tellHomes(this.#deps.homes, new HandedUse(held).settled(), nowMs)
      await this.#deps.jobs.records.delete(key, record.revision)
    }
  }
}
