import { randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { AppError } from './app-error.ts'
import { isInIpRanges } from './ip-ranges.ts'
import { limitClosing } from './limit-closing.ts'
import type { Logger } from './logger.ts'
import { newListener } from './new-listener.ts'

/**
 * A Fastify instance for management routes: one error shape `{"error": {code, message, request_id}}`, no request logging,
 * 1 MiB bodies. Below 500 the message helps; at 500 and above only the request id leaves the process.
 * @param trustedProxies ranges of the gateways that are believed when they say where a client is, for `request.ip`
 * @param nameAbsent says of a path that is no route what is not here, where it can; without a query
 */
export function createRestApp(
  log: Logger,
  trustedProxies: readonly string[],
  nameAbsent: (path: string) => { code: string; message: string } | undefined = () => undefined,
): FastifyInstance {
  const app = newListener({
    trustProxy: address => isInIpRanges(trustedProxies, address),
    bodyLimit: 1024 * 1024,
    genReqId: () => randomUUID(),
    requestTimeout: 30_000,
  })
  limitClosing(app, 5_000)
  app.addHook('onSend', async (request, reply) => {
    reply.header('x-request-id', request.id)
  })
  app.setNotFoundHandler((request, reply) => {
    const absent = nameAbsent(request.url.split('?', 1)[0] ?? '')
    const { code, message } = absent ?? { code: 'not_found', message: 'There is no such resource.' }
    reply.code(404).send({ error: { code, message, request_id: request.id } })
  })
  answerErrors(app, log)
  return app
}

/** Errors in the one shape of management routes. */
export function answerErrors(app: FastifyInstance, log: Logger): void {
  app.setErrorHandler((error, request, reply) => {
    const known = toAppError(error)
    // 501 is no fault of ours either: what is asked for is not here.
    if (known && (known.statusCode < 500 || known.statusCode === 501)) {
      return reply
        .code(known.statusCode)
        .send({ error: { code: known.code, message: known.message, request_id: request.id } })
    }
    log.error(
      { err: error, requestId: request.id, route: request.routeOptions.url, detail: known?.detail },
      'request failed',
    )
    const statusCode = known?.statusCode ?? 500
    return reply.code(statusCode).send({
      error: {
        code: known?.code ?? 'internal',
        message:
          statusCode === 503 && known
            ? known.message
            : `Something went wrong on our side. Quote request ${request.id}.`,
        request_id: request.id,
      },
    })
  })
}

function toAppError(error: unknown): AppError | undefined {
  if (error instanceof AppError) return error
  const { statusCode, code, message, validation } = error as {
    statusCode?: number
    code?: string
    message?: string
    validation?: unknown
  }
  if (validation) return new AppError('invalid_request', 400, message ?? 'The request does not match the schema.')
  if (statusCode !== undefined && statusCode < 500)
    return new AppError(code?.toLowerCase() ?? 'invalid_request', statusCode, message ?? 'The request is not valid.')
  if (isConnectionError(code))
    return new AppError('store_unavailable', 503, 'The database is not reachable right now. Try again in a moment.', {
      cause: error,
    })
  return undefined
}

/** PostgreSQL's class 57 (shutting down) and 08 (connection), and the socket errors below it. */
function isConnectionError(code: string | undefined): boolean {
  return (
    code !== undefined &&
    (/^(57P0|08)/.test(code) || ['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOENT'].includes(code))
  )
}
