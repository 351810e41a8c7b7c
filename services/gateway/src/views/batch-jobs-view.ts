import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { type Bus, followBucket, type KvRecords, openRecords } from '@sluice/bus'
import { BatchJob, type Dialect, foundBatchKey } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'

/** A batch and the key it is kept under. */
export interface KeptBatch {
  key: string
  job: BatchJob
}

/**
 * The batches at providers that all gateways own together, in memory from KV `batches`, and the writes to it. The view
 * is milliseconds behind; whoever changes a batch reads its record first, and the revision says whether it was the first.
 */
export interface BatchJobsView {
  /** A batch that a project made; one that was made a moment ago, on another gateway, is waited for. */
  find: (projectId: string, dialect: Dialect, batchId: string) => Promise<KeptBatch | undefined>
  /** Whether a batch of this id was made through us under a credential, by whichever project. */
  isRecorded: (dialect: Dialect, access: string, batchId: string) => boolean
  ofProject: (projectId: string, dialect: Dialect) => KeptBatch[]
  all: () => Iterable<KeptBatch>
  /** Resolves when the view shows the batch, or after a second. */
  shows: (projectId: string, dialect: Dialect, batchId: string) => Promise<void>
  records: KvRecords<BatchJob>
  close: () => Promise<void>
}

const maxAgeMs = 60 * 24 * 60 * 60 * 1000

export async function followBatchJobs(bus: Bus, log: Logger): Promise<BatchJobsView> {
  /** By project and id, and by credential and id; a key for each. */
  const keys = new Map<string, string>()
  const names = new Map<string, string[]>()
  const view = await followBucket(bus, 'batches', BatchJob, {
    log,
    onChange: (key, job) => {
      for (const name of names.get(key) ?? []) if (keys.get(name) === key) keys.delete(name)
      const ours = job ? namesOf(job) : []
      if (ours.length === 0) names.delete(key)
      else names.set(key, ours)
      for (const name of ours) keys.set(name, key)
    },
  })
  const records = await openRecords(bus, 'batches', BatchJob)

  function look(projectId: string, dialect: Dialect, batchId: string): KeptBatch | undefined {
    const key = keys.get(projectName(projectId, dialect, batchId))
    const job = key === undefined ? undefined : view.get(key)
    return key !== undefined && job ? { key, job } : undefined
  }

  async function wait(projectId: string, dialect: Dialect, batchId: string, timeoutMs: number) {
    const deadline = performance.now() + timeoutMs
    for (;;) {
      const found = look(projectId, dialect, batchId)
      if (found || performance.now() >= deadline) return found
      await delay(20)
    }
  }

  return {
    find: (projectId, dialect, batchId) => wait(projectId, dialect, batchId, 300),
    isRecorded: (dialect, access, batchId) => keys.has(accessName(dialect, access, batchId)),
    ofProject: (projectId, dialect) => {
      const found: KeptBatch[] = []
      for (const [key, job] of view.entries())
        if (job.dialect === dialect && job.creator?.identity.project_id === projectId) found.push({ key, job })
      return found
    },
    *all() {
      // What the bucket has let go by its age is not told to those who follow it.
      const oldestMs = Date.now() - maxAgeMs
      for (const [key, job] of view.entries()) if (job.created_at_ms >= oldestMs) yield { key, job }
    },
    shows: async (projectId, dialect, batchId) => {
      await wait(projectId, dialect, batchId, 1_000)
    },
    records,
    close: view.close,
  }
}

function namesOf(job: BatchJob): string[] {
  const { batch_id, creator, dialect, access } = job
  if (batch_id === undefined || !creator) return []
  return [accessName(dialect, access, batch_id), projectName(creator.identity.project_id, dialect, batch_id)]
}

function projectName(projectId: string, dialect: Dialect, batchId: string): string {
  return `project ${projectId} ${dialect} ${batchId}`
}

function accessName(dialect: Dialect, access: string, batchId: string): string {
  return `access ${access} ${dialect} ${batchId}`
}

/** The key of a batch that nobody here made. Ids are the provider's: hashed, they fit a key whatever is in them. */
export function keyOfFound(dialect: Dialect, access: string, batchId: string): string {
  return foundBatchKey(dialect, access, createHash('sha256').update(batchId).digest('hex').slice(0, 32))
}
