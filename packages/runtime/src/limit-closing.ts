import type { FastifyInstance } from 'fastify'

/**
 * Bounds how long a server takes to close. Requests under way get `graceMs`; then every connection is closed. Without it one
 * connection on which nothing was ever sent, as pools and browsers open them in advance, holds the process for half a minute.
 */
export function limitClosing(app: FastifyInstance, graceMs: number): void {
  app.addHook('preClose', done => {
    setTimeout(() => app.server.closeAllConnections(), graceMs).unref()
    done()
  })
}
