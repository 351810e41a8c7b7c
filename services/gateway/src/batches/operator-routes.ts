import type { BatchJob } from '@sluice/contracts'
import type { FastifyInstance } from 'fastify'
import type { KeptBatch } from '../views/batch-jobs-view.ts'
import { type Adoption, type AdoptionDeps, adoptUnknown, NotAdoptableError } from './adopt-unknown.ts'
import { isOverdue, isStuck } from './batch-events.ts'

const mostShown = 1_000

const adoptionBody = {
  type: 'object',
  required: ['project_id', 'key_id', 'by', 'reason'],
  additionalProperties: false,
  properties: {
    project_id: { type: 'string', minLength: 1, maxLength: 64 },
    key_id: { type: 'string', minLength: 1, maxLength: 64 },
    by: { type: 'string', minLength: 1, maxLength: 200, pattern: '\\S' },
    reason: { type: 'string', minLength: 3, maxLength: 2_000, pattern: '\\S' },
  },
} as const

/**
 * Of the operator port: `GET /batches` says what is not as it should be; `POST /batches/unknown/{key}/dismiss` says that a
 * person has seen a batch which was not made through us, `…/adopt` whose it is.
 */
export function batchRoutes(deps: AdoptionDeps): (app: FastifyInstance) => void {
  const { jobs } = deps
  return app => {
    app.get('/batches', async () => {
      const nowMs = Date.now()
      const all = [...jobs.all()]
      const show = (is: (job: BatchJob) => boolean) =>
        all
          .filter(({ job }) => is(job))
          .slice(0, mostShown)
          .map(toShown)
      return {
        running: all.filter(({ job }) => job.state === 'running').length,
        unknown: show(job => job.state === 'unknown'),
        stuck: show(isStuck),
        overdue: show(job => isOverdue(job, nowMs)),
        without_answer: show(job => job.state === 'creating' && job.answer_lost === true),
        unreadable: show(job => (job.settlement?.unreadable ?? 0) > 0),
      }
    })
    app.post<{ Params: { key: string } }>('/batches/unknown/:key/dismiss', async (request, reply) => {
      const { key } = request.params
      const record = isKey(key) ? await jobs.records.get(key) : undefined
      if (record?.value.state !== 'unknown')
        return reply.code(404).send({ error: { code: 'not_found', message: 'No unknown batch has this key.' } })
      const revision = await jobs.records.update(key, { ...record.value, state: 'dismissed' }, record.revision)
      if (revision === undefined)
        return reply.code(409).send({ error: { code: 'conflict', message: 'It has just changed. Look again.' } })
      return { dismissed: key }
    })
    app.post<{ Params: { key: string }; Body: Adoption }>(
      '/batches/unknown/:key/adopt',
      { schema: { body: adoptionBody } },
      async ({ params, body }, reply) => {
        try {
          if (!isKey(params.key)) throw new NotAdoptableError(404, 'No unknown batch has this key.')
          const adopted = await adoptUnknown(deps, params.key, body)
          return { adopted: adopted.batch_id, project_id: body.project_id, key_id: body.key_id }
        } catch (error) {
          if (!(error instanceof NotAdoptableError)) throw error
          return reply.code(error.status).send({ error: { code: 'not_adopted', message: error.message } })
        }
      },
    )
  }
}

function isKey(text: string): boolean {
  return /^[\w.-]{1,256}$/.test(text)
}

function toShown({ key, job }: KeptBatch) {
  return {
    key,
    state: job.state,
    dialect: job.dialect,
    access: job.access,
    batch_id: job.batch_id ?? null,
    created_at: new Date(job.created_at_ms).toISOString(),
    project_id: job.creator?.identity.project_id ?? null,
    call_id: job.creator?.call_id ?? null,
    unsettled: job.unsettled ?? null,
    settlement: job.settlement ?? null,
  }
}
