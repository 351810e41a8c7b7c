import { type Logger, type OperatorWord, operatorWord } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { HeardEpochStore } from '../heard-epoch-store.ts'

/**
 * `POST /completeness/silent/{gateway}/{epoch}/give-up`, for operators: the journal will not come back. The epoch stays on
 * record with what is known to be gone and who said so, and is no longer missed; heard of again, that is forgotten.
 */
export function silentEpochs(
  app: FastifyInstance,
  { epochs, log }: { epochs: Pick<HeardEpochStore, 'giveUp'>; log: Pick<Logger, 'warn'> },
): void {
  app.post<{ Params: { gateway: string; epoch: string }; Body: OperatorWord }>(
    '/completeness/silent/:gateway/:epoch/give-up',
    { schema: { body: operatorWord } },
    async ({ params, body, ip }, reply) => {
      const isEpoch = /^[A-Za-z0-9_-]{1,64}$/.test(params.gateway) && /^\d{1,15}$/.test(params.epoch)
      const epoch = { gatewayId: params.gateway, epoch: Number(params.epoch) }
      if (!isEpoch || !(await epochs.giveUp(epoch, { ...body, remoteAddress: ip })))
        return reply.code(404).send({ outcome: 'unknown' })
      log.warn({ ...epoch, by: body.by, reason: body.reason }, 'silent gateway given up')
      return { outcome: 'given_up' }
    },
  )
}
