import { setTimeout as delay } from 'node:timers/promises'
import type { BatchJob } from '@sluice/contracts'
import { estimateInputTokens } from '@sluice/usage'
import type { AdmittedCall } from '../call.ts'
import { type ProviderAnswer, ProviderAwayError } from '../exchanges/ask-provider.ts'
import { answerExchange, type Exchanged, exchange, refusalOfAway } from '../exchanges/exchange.ts'
import { Refusal } from '../refusal.ts'
import type { AuthenticatedCall, GatewayDeps } from '../request-path.ts'
import type { BatchStanding } from './batch-dialect.ts'
import type { BatchRequests } from './batch-requests.ts'

export interface Creation {
  requests: BatchRequests & { bytes: number; inputFileId?: string; targetEndpoint?: string }
  workspaceId?: string | undefined
  readStanding: (object: unknown) => BatchStanding | undefined
  ask: (signal: AbortSignal) => Promise<ProviderAnswer>
}

export interface CreatedBatch {
  exchanged: Exchanged
  /** Undefined where the provider refused. */
  batchId: string | undefined
}

/** How long the client waits for its batch to be recorded, once the provider has made it. */
const recordTimeoutMs = 20_000

/**
 * Creates a batch so that it cannot be lost: OPEN in the journal → its creation in KV → the provider → its id in KV → the
 * client. Where we die in between, or the answer is lost, the batch is found by a listing and given to its creation.
 * @throws Refusal
 */
export async function recordCreation(
  deps: GatewayDeps,
  admitted: AdmittedCall,
  creation: Creation,
): Promise<CreatedBatch> {
  const { jobs, own } = deps.batches
  const key = admitted.eventId
  const job = creatingJob(deps, admitted, creation)
  let revision = 0
  let exchanged: Exchanged
  try {
    exchanged = await exchange(deps, admitted, {
      breakable: false,
      prepare: async () => {
        revision = (await recordable(() => jobs.records.create(key, job))) ?? 0
      },
      ask: signal => creation.ask(AbortSignal.any([signal, AbortSignal.timeout(own.maxCreateMs)])),
      mayExist: answered =>
        'error' in answered ? mayExist(answered.error) : answered.status < 300 || answered.status >= 500,
    })
  } catch (error) {
    if (revision > 0) await endCreation(deps, key, job, revision, mayExist(error))
    throw refusalOfAway(error)
  }
  const { status, body } = exchanged.answer
  const standing = status < 300 ? readStanding(creation, body) : undefined
  if (!standing) {
    // A provider that broke while it made the batch may have made it.
    await endCreation(deps, key, job, revision, status < 300 || status >= 500)
    return { exchanged, batchId: undefined }
  }
  const running: BatchJob = {
    ...job,
    state: 'running',
    batch_id: standing.id,
    created_at_ms: standing.createdAtMs ?? job.created_at_ms,
    next_look_at_ms: Date.now() + deps.batches.minIntervalMs,
  }
  const recorded = await Promise.race([
    recordUntilDone(deps, key, running, revision),
    delay(recordTimeoutMs, false, { ref: false }),
  ])
  if (!recorded)
    throw new Refusal(
      'metering_unavailable',
      `Batch ${standing.id} was created, but this gateway cannot record it right now. It will be in the list of batches and accounted as soon as it can; do not create it again.`,
    )
  await jobs.shows(admitted.principal.identity.project_id, job.dialect, standing.id)
  return { exchanged, batchId: standing.id }
}

/** Sends the provider's answer to the client, its batch as `rewrite` has it. */
export function answerCreated(
  call: AuthenticatedCall,
  admitted: AdmittedCall,
  { exchanged, batchId }: CreatedBatch,
  rewrite: (body: Buffer, batchId: string) => Buffer,
): Promise<void> {
  const { body } = exchanged.answer
  return answerExchange(call, admitted, exchanged, batchId === undefined ? body : rewrite(body, batchId))
}

function creatingJob(deps: GatewayDeps, admitted: AdmittedCall, { requests, workspaceId }: Creation): BatchJob {
  const { route, prices, principal, endpoint } = admitted
  const { inputFileId, targetEndpoint } = requests
  return {
    state: 'creating',
    dialect: endpoint.dialect,
    access: route.access,
    paid_by: route.paidBy,
    served_by: route.servedBy,
    ...(workspaceId === undefined ? {} : { workspace_id: workspaceId }),
    created_at_ms: admitted.admittedAtMs,
    creator: {
      event_id: admitted.eventId,
      call_id: admitted.callId,
      gateway_id: deps.batches.own.gatewayId,
      epoch: deps.batches.own.epoch,
      identity: principal.identity,
      claimed: admitted.claimed,
      admitted_at_ms: admitted.admittedAtMs,
      price_book_id: prices.book.id,
      ...(prices.override ? { override_price_book_id: prices.override.id } : {}),
      ...(principal.project.unpriced === 'assume_max' ? { unpriced_policy: 'assume_max' } : {}),
      models: requests.models,
      request_count: requests.count,
      estimated_input_tokens: Math.floor(estimateInputTokens(requests.bytes) / requests.count),
      ...(inputFileId === undefined ? {} : { input_file_id: inputFileId }),
      ...(targetEndpoint === undefined ? {} : { target_endpoint: targetEndpoint }),
    },
    next_look_at_ms: admitted.admittedAtMs,
    ...(admitted.money &&
      admitted.holder !== undefined && {
        held: admitted.money.handedTo(admitted.holder, matched => admitted.hold.modelsOf?.(matched)),
      }),
  }
}

/** Without its record a batch must not be made. */
async function recordable<T>(write: () => Promise<T>): Promise<T> {
  try {
    return await write()
  } catch (cause) {
    throw new Refusal(
      'metering_unavailable',
      'This gateway cannot record batches right now (NATS is away), so it makes none. Try again in a moment.',
      { retryAfterS: 5, cause },
    )
  }
}

/** Whether the provider may have made the batch. A refusal says that it was cut before the provider was asked. */
function mayExist(error: unknown): boolean {
  if (error instanceof Refusal) return false
  return !(error instanceof ProviderAwayError) || error.mayHaveArrived
}

/** Ends a creation that has no batch. Where it may have one all the same, it stays for the listing to match. */
async function endCreation(
  deps: GatewayDeps,
  key: string,
  job: BatchJob,
  revision: number,
  exists: boolean,
): Promise<void> {
  const { records } = deps.batches.jobs
  try {
    if (exists) await records.update(key, { ...job, answer_lost: true }, revision)
    else await records.delete(key, revision)
  } catch {
    // It is taken for lost by its age.
  }
}

/** Goes on after the client has had its answer: the record is what the batch is settled by. */
async function recordUntilDone(deps: GatewayDeps, key: string, job: BatchJob, revision: number): Promise<true> {
  const { jobs, events } = deps.batches
  let expected = revision
  for (let tries = 0; ; tries++) {
    try {
      if ((await jobs.records.update(key, job, expected)) !== undefined) return true
      const found = await jobs.records.get(key)
      // A write that was not answered has arrived, or a listing was faster.
      if (found?.value.batch_id === job.batch_id) return true
      expected = found?.revision ?? 0
      if (!found && (await jobs.records.create(key, job)) !== undefined) return true
    } catch (error) {
      events.notRecorded(error, job.batch_id ?? '')
    }
    await delay(Math.min(100 * 2 ** tries, 5_000), undefined, { ref: false })
  }
}

function readStanding(creation: Creation, body: Buffer): BatchStanding | undefined {
  try {
    return creation.readStanding(JSON.parse(body.toString('utf8')))
  } catch {
    return undefined
  }
}
