import { createHash } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import { AppError } from './app-error.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** It takes an `Idempotency-Key`. */
    idempotent?: boolean
  }
}

/** The `Idempotency-Key` of a request, a caller's own name for what it makes; undefined: none. @throws AppError 400 for one that is none */
export function readIdempotencyKey(request: Pick<FastifyRequest, 'headers'>): string | undefined {
  const sent = request.headers['idempotency-key']
  if (sent === undefined) return undefined
  if (typeof sent !== 'string' || !/^[\x21-\x7e]{1,255}$/.test(sent))
    throw new AppError(
      'invalid_request',
      400,
      'Idempotency-Key must be 1 to 255 printable ASCII characters without spaces; a UUID will do.',
    )
  return sent
}

/** What a request asks for, whoever sends it. */
export function hashRequest(request: Pick<FastifyRequest, 'method' | 'url' | 'body'>): string {
  return createHash('sha256')
    .update(`${request.method} ${request.url}\n${JSON.stringify(request.body ?? null)}`)
    .digest('hex')
}
