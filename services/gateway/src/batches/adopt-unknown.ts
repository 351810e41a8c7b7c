import { randomUUIDv7 } from 'node:crypto'
import type { BatchJob } from '@sluice/contracts'
import { type AskDeps, askProvider } from '../exchanges/ask-provider.ts'
import type { RouteResolver } from '../resolve-route.ts'
import type { BatchJobsView } from '../views/batch-jobs-view.ts'
import type { ActiveKey, KeysView } from '../views/keys-view.ts'
import type { PricesView } from '../views/prices-view.ts'
import type { ProjectsView } from '../views/projects-view.ts'
import type { StoredFilesView } from '../views/stored-files-view.ts'
import { headersForBatch } from './batch-access.ts'
import { type BatchStanding, batchDialects } from './batch-dialect.ts'
import type { BatchEvents } from './batch-events.ts'
import { chooseCreation, type OwnRun } from './match-creation.ts'

export interface AdoptionDeps extends AskDeps {
  jobs: BatchJobsView
  files: Pick<StoredFilesView, 'find'>
  routes: RouteResolver
  projects: ProjectsView
  keys: Pick<KeysView, 'findById'>
  prices: Pick<PricesView, 'current' | 'override'>
  events: BatchEvents
  own: OwnRun
}

/** Whose a batch is said to be, by whom and why. */
export interface Adoption {
  project_id: string
  key_id: string
  by: string
  reason: string
}

/** A batch cannot be given to whom it was to be given. The text is for the operator. */
export class NotAdoptableError extends Error {
  override name = 'NotAdoptableError'
  readonly status: 400 | 404 | 409 | 502
  constructor(status: 400 | 404 | 409 | 502, message: string) {
    super(message)
    this.status = status
  }
}

/**
 * Gives a batch that was made by nobody we know to a key of a project, which pays for it from then on: it is settled like any
 * other. A creation of that key that lost its answer, and fits, says what the batch was asked for with; else it is rated at the
 * books of the time when the provider made it. @throws NotAdoptableError
 */
export async function adoptUnknown(deps: AdoptionDeps, key: string, adoption: Adoption): Promise<BatchJob> {
  const { jobs } = deps
  const record = await jobs.records.get(key)
  if (record?.value.state !== 'unknown') throw new NotAdoptableError(404, 'No unknown batch has this key.')
  const payer = deps.keys.findById(adoption.key_id)
  if (!payer || payer.key.project_id !== adoption.project_id)
    throw new NotAdoptableError(400, 'The project has no usable key of this id.')
  const standing = await askAbout(deps, record.value, payer)
  const creations = [...jobs.all()].filter(
    ({ job: { state, dialect, access, creator } }) =>
      state === 'creating' &&
      dialect === record.value.dialect &&
      access === record.value.access &&
      creator?.identity.key_id === adoption.key_id,
  )
  const creation = chooseCreation(creations, standing, deps.own, Date.now())
  if (creation === 'wait')
    throw new NotAdoptableError(409, 'It may be the answer to a creation that still waits. Try again in some minutes.')
  const running = { state: 'running', batch_id: standing.id, next_look_at_ms: Date.now() } as const
  let adopted: BatchJob
  if (creation === 'none') {
    const creator = await creatorOf(deps, record.value, standing, payer)
    adopted = { ...record.value, ...running, creator }
    await firstTo(jobs.records.update(key, adopted, record.revision))
  } else {
    const made = await jobs.records.get(creation.key)
    if (made?.value.state !== 'creating') throw changed()
    const { answer_lost: _, ...creating } = made.value
    adopted = { ...creating, ...running, created_at_ms: record.value.created_at_ms }
    await firstTo(jobs.records.update(creation.key, adopted, made.revision))
    // Where this is not done, the next listing does it.
    await jobs.records.delete(key, record.revision)
  }
  deps.events.adoptedByHand(adopted, adoption)
  return adopted
}

async function askAbout(deps: AdoptionDeps, job: BatchJob, payer: ActiveKey): Promise<BatchStanding> {
  const project = deps.projects.find(payer.key.project_id)
  if (!project) throw new NotAdoptableError(400, 'There is no such project.')
  const route = deps.routes.ofAccess(project, job.dialect, job.access)
  if (!route) throw new NotAdoptableError(400, 'The batch lives under the credential of another project.')
  const dialect = batchDialects[job.dialect]
  const path = `${route.basePath}${dialect.objectPath(job.batch_id ?? '')}`
  try {
    const { status, body } = await askProvider(deps, route, { method: 'GET', path, headers: headersForBatch(job) })
    const standing = status === 200 ? dialect.readStanding(JSON.parse(body.toString('utf8'))) : undefined
    if (standing?.id === job.batch_id && standing) return standing
  } catch {
    // Told below: which way it went wrong is nothing to choose by.
  }
  throw new NotAdoptableError(
    502,
    'The provider does not show the batch right now, so nobody can be made to pay for it.',
  )
}

async function creatorOf(
  deps: AdoptionDeps,
  job: BatchJob,
  standing: BatchStanding,
  { key, identity }: ActiveKey,
): Promise<NonNullable<BatchJob['creator']>> {
  const { project_id: projectId } = key
  const createdAtMs = standing.createdAtMs ?? job.created_at_ms
  const book = deps.prices.current(createdAtMs)
  const override = deps.prices.override(projectId, createdAtMs)
  if (!book || override === 'missing')
    throw new NotAdoptableError(409, 'The price books of its time are not loaded yet. Try again in a moment.')
  const { inputFileId, targetEndpoint } = standing
  const requests = inputFileId === undefined ? undefined : (await deps.files.find(projectId, inputFileId))?.requests
  return {
    event_id: randomUUIDv7(),
    call_id: randomUUIDv7(),
    gateway_id: deps.own.gatewayId,
    epoch: deps.own.epoch,
    identity,
    claimed: {},
    admitted_at_ms: createdAtMs,
    price_book_id: book.id,
    ...(override && { override_price_book_id: override.id }),
    ...(deps.projects.find(projectId)?.unpriced === 'assume_max' && { unpriced_policy: 'assume_max' as const }),
    models: requests?.models ?? [],
    request_count: standing.requestCount ?? 0,
    estimated_input_tokens: 0,
    ...(inputFileId !== undefined && { input_file_id: inputFileId }),
    ...(targetEndpoint !== undefined && { target_endpoint: targetEndpoint }),
  }
}

async function firstTo(update: Promise<number | undefined>): Promise<void> {
  if ((await update) === undefined) throw changed()
}

function changed(): NotAdoptableError {
  return new NotAdoptableError(409, 'It has just changed. Look again.')
}
