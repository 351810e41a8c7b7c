import type { FastifyInstance } from 'fastify'
import type { Logger } from './logger.ts'
import { type OperatorWord, operatorWord } from './operator-word.ts'

export interface GapRouteDeps {
  giveUp: (
    epoch: { gatewayId: string; epoch: number },
    given: OperatorWord & { remoteAddress: string },
  ) => Promise<{ gaps: [partition: number, first: number, last: number][] } | 'unknown' | 'under-way'>
  log: Pick<Logger, 'warn'>
}

/**
 * Of the operator port: what is missing of an epoch will not come, since the journal that had it is gone. It is given up with a
 * name and a reason, and no longer missed; what comes all the same is applied.
 */
export function addGapRoutes(app: FastifyInstance, { giveUp, log }: GapRouteDeps): void {
  app.post<{ Params: { gateway: string; epoch: string }; Body: OperatorWord }>(
    '/completeness/gaps/:gateway/:epoch/give-up',
    { schema: { body: operatorWord } },
    async ({ params, body, ip }, reply) => {
      const isEpoch = /^[A-Za-z0-9_-]{1,64}$/.test(params.gateway) && /^\d{1,15}$/.test(params.epoch)
      const epoch = { gatewayId: params.gateway, epoch: Number(params.epoch) }
      const outcome = isEpoch ? await giveUp(epoch, { ...body, remoteAddress: ip }) : 'unknown'
      if (outcome === 'unknown') return reply.code(404).send({ outcome })
      if (outcome === 'under-way') return reply.code(409).send({ outcome })
      log.warn({ ...epoch, gaps: outcome.gaps, by: body.by, reason: body.reason }, 'missing events given up')
      return { outcome: 'given_up', gaps: outcome.gaps }
    },
  )
}
