import type { FastifyInstance } from 'fastify'

/** Of an operator port: `POST /rebuild` begins a rebuild from the usage log, or shows the one under way; `GET /rebuild` shows it. */
export function addRebuildRoutes(
  app: FastifyInstance,
  deps: { read: () => Promise<object | undefined>; begin: () => Promise<object> },
): void {
  app.post('/rebuild', async (_request, reply) => reply.code(202).send(await deps.begin()))
  app.get('/rebuild', async (_request, reply) => {
    const progress = await deps.read()
    return (
      progress ?? reply.code(404).send({ error: { code: 'never_rebuilt', message: 'Nothing was ever rebuilt here.' } })
    )
  })
}
