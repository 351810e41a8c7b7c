import type { FastifyInstance } from 'fastify'
import { limitClosing } from './limit-closing.ts'
import type { Logger } from './logger.ts'
import { newListener } from './new-listener.ts'
import { answerErrors } from './rest-error-handler.ts'

/** Answers "may traffic come?": undefined means yes, a text says what is missing. */
export type ReadinessCheck = () => Promise<string | undefined> | string | undefined

export interface OperatorDeps {
  host: string
  port: number
  ready: ReadinessCheck
  /** Prometheus text. */
  metrics: () => Promise<string> | string
  /** More routes for operators only. */
  routes?: (app: FastifyInstance) => void
  /** Where given, errors of those routes are answered as management routes answer them, and logged. */
  log?: Logger
}

/**
 * The listener for operators, apart from the public one: `/health/live` (the loop turns), `/health/ready` (stores answer,
 * no shutdown under way), `/metrics`. Never reachable through the public origin.
 */
export async function startOperatorServer(deps: OperatorDeps): Promise<{ port: number; close: () => Promise<void> }> {
  const app = newListener({ bodyLimit: 65536 })
  if (deps.log) answerErrors(app, deps.log)
  limitClosing(app, 500)
  app.get('/health/live', async () => ({ status: 'live' }))
  app.get('/health/ready', async (_request, reply) => {
    const missing = await deps.ready()
    return missing === undefined ? { status: 'ready' } : reply.code(503).send({ status: 'not ready', missing })
  })
  app.get('/metrics', async (_request, reply) => reply.type('text/plain; version=0.0.4').send(await deps.metrics()))
  deps.routes?.(app)
  await app.listen({ host: deps.host, port: deps.port })
  const address = app.server.address()
  return { port: typeof address === 'object' && address ? address.port : deps.port, close: () => app.close() }
}
