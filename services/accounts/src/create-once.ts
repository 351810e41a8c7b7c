import { createHash } from 'node:crypto'
import { errorOf, hashRequest, readIdempotencyKey } from '@sluice/runtime'
import type { FastifyRequest } from 'fastify'
import { actorOf, callerOf } from './access.ts'
import type { AppDeps } from './app.ts'
import type { Change } from './change-store.ts'
import { errors } from './errors.ts'
import { claimAnswer, findAnswer, keepAnswer } from './kept-answer-store.ts'

/**
 * Makes something, once for each `Idempotency-Key` of a caller: the same request again gets the same answer for 24 hours,
 * secrets it shows included, and makes nothing. The claim, what is made and the kept answer commit together, so that a
 * request that failed may be sent again under its key.
 * @throws AppError 400 for a key that is none, 409 where it came with another request
 */
export function createOnce<Answer extends object>(
  deps: Pick<AppDeps, 'changes' | 'box'>,
  request: FastifyRequest,
  create: (change: Change) => Promise<Answer>,
): Promise<Answer> {
  if (!request.routeOptions.config.idempotent) throw new Error('the route does not say that it is idempotent')
  const idempotencyKey = readIdempotencyKey(request)
  if (idempotencyKey === undefined) return deps.changes.make(actorOf(request), create)
  const { id: callerId, accountId } = callerOf(request).principal
  const name = { accountId, callerId, idempotencyKey }
  const requestHash = hashRequest(request)
  const rowId = createHash('sha256').update(`${callerId}\n${idempotencyKey}`).digest('hex')
  const binding = { purpose: 'kept-answer', projectId: accountId, rowId } as const
  return deps.changes.make(actorOf(request), async change => {
    if (await claimAnswer(change.trx, name, requestHash, new Date(change.nowMs))) {
      const answer = await create(change)
      await keepAnswer(change.trx, name, deps.box.seal(JSON.stringify(answer), binding))
      return answer
    }
    const kept = await findAnswer(change.trx, name)
    if (kept?.request_hash !== requestHash) throw errorOf(errors.idempotencyKeyReused)
    if (!kept.envelope) throw new Error('a claim without an answer was committed')
    return JSON.parse(deps.box.open(kept.envelope, binding)) as Answer
  })
}
