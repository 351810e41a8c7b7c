import { randomUUID } from 'node:crypto'
import type { FastifyInstance, FastifyReply } from 'fastify'
import { AppError } from './app-error.ts'
import { findInexactNumber } from './inexact-number.ts'
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
    // An address that is none reaches no hook and no handler.
    frameworkErrors: ({ code }, request, reply) => refuseAddress(code, request.id, reply as unknown as FastifyReply),
  })
  limitClosing(app, 5_000)
  parseBodies(app)
  app.addHook('onRequest', async request => requireStorable(request))
  app.addHook('onSend', async (request, reply) => {
    reply.header('x-request-id', request.id)
    reply.header('x-content-type-options', 'nosniff')
    // Keys, links and who spends what are kept by nobody on the way.
    if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'no-store')
  })
  app.setNotFoundHandler((request, reply) => {
    const absent = nameAbsent(request.url.split('?', 1)[0] ?? '')
    const { code, message } = absent ?? { code: 'not_found', message: 'There is no such resource.' }
    reply.code(404).send({ error: { code, message, request_id: request.id } })
  })
  answerErrors(app, log)
  return app
}

/**
 * Clients that name a content type on every request send it with what has no body, too. Of those that have one, each number is
 * what it says: none is rounded in silence, above all no amount.
 */
function parseBodies(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error')
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    const text = body.toString()
    if (text === '') return done(null, undefined)
    parse(request, text, (error, parsed) => {
      const inexact = error ? undefined : findInexactNumber(text)
      if (inexact === undefined) done(error, parsed)
      else done(tooManyDigits(inexact))
    })
  })
}

function tooManyDigits(number: string): AppError {
  const message = `The body holds a number with more digits than are read of one: ${number.slice(0, 40)}. Send fewer, or an amount as text.`
  return new AppError('invalid_request', 400, message)
}

/** What PostgreSQL cannot hold it cannot be asked for either. @throws AppError 404 for a name in the path, 400 in the query */
function requireStorable({ params, query }: { params: unknown; query: unknown }): void {
  const hasNul = (values: unknown) => Object.values(values ?? {}).some(value => String(value).includes('\0'))
  if (hasNul(params)) throw new AppError('not_found', 404, 'There is no such resource.')
  if (hasNul(query)) throw new AppError('invalid_request', 400, 'The query must not hold the character U+0000.')
}

function refuseAddress(reason: string, request_id: string, reply: FastifyReply): void {
  if (reason === 'FST_ERR_MAX_PARAM_LENGTH') {
    const message = 'There is no such resource: no name is that long.'
    return void reply.code(404).send({ error: { code: 'not_found', message, request_id } })
  }
  const message = 'The address cannot be read: it is not percent-encoded UTF-8.'
  reply.code(400).send({ error: { code: 'invalid_request', message, request_id } })
}

/** Errors in the one shape of management routes. */
export function answerErrors(app: FastifyInstance, log: Logger): void {
  app.setErrorHandler((error, request, reply) => {
    const known = toAppError(error)
    // It may be our own doing. What the database says of it may quote what was sent: its code is enough.
    if (known?.detail && known.statusCode < 500)
      log.warn({ requestId: request.id, route: request.routeOptions.url, detail: known.detail }, 'request refused')
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

/** What the framework refuses by itself, in our words. */
const unreadable: Readonly<Record<number, readonly [code: string, message: string]>> = {
  400: [
    'invalid_request',
    'The address or the body cannot be read: a body is JSON, with content-type: application/json.',
  ],
  413: ['body_too_large', 'The body is larger than 1 MiB. Send less at once.'],
  415: ['unsupported_media_type', 'Send the body as JSON, with content-type: application/json.'],
}

/** PostgreSQL's class 22: what was sent is no text, id, number or time that it could hold or look for. */
function unstorableOf(code: string | undefined): AppError | undefined {
  if (code === undefined || !/^22[0-9A-Z]{3}$/.test(code)) return undefined
  const message =
    'Something in the request cannot be kept or looked for: a NUL character, half of a surrogate pair, or an id, a number or a time out of range.'
  return new AppError('invalid_request', 400, message, { detail: { sqlState: code } })
}

function toAppError(error: unknown): AppError | undefined {
  if (error instanceof AppError) return error
  const { statusCode, code, message, validation } = error as {
    statusCode?: number
    code?: string
    message?: string
    validation?: readonly SchemaProblem[]
  }
  if (validation) return new AppError('invalid_request', 400, nameUnknown(validation, message))
  if (code?.startsWith('FST_') && statusCode !== undefined && statusCode < 500) {
    const [name, words] = unreadable[statusCode] ?? ['invalid_request', message ?? 'The request is not valid.']
    return new AppError(name, statusCode, words)
  }
  if (statusCode !== undefined && statusCode < 500)
    return new AppError(code?.toLowerCase() ?? 'invalid_request', statusCode, message ?? 'The request is not valid.')
  const unstorable = unstorableOf(code)
  if (unstorable) return unstorable
  if (isConnectionError(code))
    return new AppError('store_unavailable', 503, 'The database is not reachable right now. Try again in a moment.', {
      cause: error,
    })
  return undefined
}

/** What a validator found, as far as it is looked at here. */
interface SchemaProblem {
  keyword: string
  params: { additionalProperty?: unknown; allowedValues?: unknown }
}

/** The validator says that there is a member too many, or a value of another list, and not which. */
function nameUnknown(problems: readonly SchemaProblem[], message = 'The request does not match the schema.'): string {
  let named = message
  for (const { keyword, params } of problems) {
    const { additionalProperty: unknown, allowedValues: values } = params
    if (keyword === 'additionalProperties' && typeof unknown === 'string')
      named = named.replace(
        'must NOT have additional properties',
        () => `must not have ${JSON.stringify(unknown.slice(0, 100))}`,
      )
    if (keyword === 'enum' && Array.isArray(values))
      named = named.replace(
        'must be equal to one of the allowed values',
        () => `must be one of ${values.map(value => JSON.stringify(value)).join(', ')}`,
      )
  }
  return named
}

/** PostgreSQL's class 57 (shutting down) and 08 (connection), and the socket errors below it. */
function isConnectionError(code: string | undefined): boolean {
  return (
    code !== undefined &&
    (/^(57P0|08)/.test(code) || ['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOENT'].includes(code))
  )
}
