import { readFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { createFront } from './front-routes.ts'
import { matchPath } from './match-path.ts'
import { type GatewayDeps, handleCall } from './request-path.ts'

export interface AppDeps extends GatewayDeps {
  front: ReturnType<typeof createFront>
  tls: { certFile: string; keyFile: string } | undefined
}

/**
 * The public listener. Provider paths go to `handleCall` on the raw request and response, the rest to the service that owns
 * it. Opens nothing, listens to nothing.
 */
export function buildApp(deps: AppDeps): FastifyInstance {
  const options = {
    logger: false,
    exposeHeadRoutes: false,
    // Slow heads and bodies are cut off; streams of answers are not counted.
    requestTimeout: 60_000,
    connectionTimeout: 0,
    keepAliveTimeout: 72_000,
    http: { headersTimeout: 15_000 },
    forceCloseConnections: 'idle' as const,
    return503OnClosing: false,
  }
  const app = (deps.tls
    ? Fastify({ ...options, https: { cert: readFileSync(deps.tls.certFile), key: readFileSync(deps.tls.keyFile) } })
    : Fastify(options)) as unknown as FastifyInstance
  // Bodies are read by the call itself, as bytes.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, _payload, done) => done(null))

  const handle = (request: FastifyRequest, reply: FastifyReply): void => {
    reply.hijack()
    const { raw } = request
    const unreadable = statusOfFraming(raw)
    if (unreadable !== undefined) {
      reply.raw.writeHead(unreadable, ['connection', 'close', 'content-length', '0'])
      reply.raw.end()
      return
    }
    const target = raw.url ?? '/'
    // Only origin-form targets: an absolute one names a host of its own.
    const match = target.startsWith('/') ? matchPath(raw.method ?? '', target) : undefined
    if (match) void handleCall(deps, match, raw, reply.raw)
    else handleOther(deps, target, request, reply)
  }
  app.all('/*', handle)
  return app
}

/** What Node's parser lets pass and other readers frame differently; undefined: nothing wrong. */
function statusOfFraming(request: IncomingMessage): 400 | 505 | undefined {
  if (request.httpVersionMajor !== 1) return 505
  return request.httpVersionMinor === 0 && request.headers['transfer-encoding'] !== undefined ? 400 : undefined
}

function handleOther(deps: AppDeps, target: string, request: FastifyRequest, reply: FastifyReply): void {
  const path = target.split('?', 1)[0] ?? target
  const route = deps.front.find(path)
  if (route) return void deps.front.hand(route, request.raw, reply.raw)
  // Claude Code asks for the root to see whether anyone is there.
  const isRoot = path === '/' && (request.method === 'HEAD' || request.method === 'GET')
  const body = isRoot
    ? JSON.stringify({ name: 'sluice' })
    : JSON.stringify({
        error: {
          code: 'not_found',
          message: 'There is nothing at this path. The proxy is at /openai/v1, /v1 and /anthropic/v1.',
        },
      })
  reply.raw.writeHead(isRoot ? 200 : 404, [
    'content-type',
    'application/json',
    'content-length',
    String(Buffer.byteLength(body)),
  ])
  reply.raw.end(request.method === 'HEAD' ? undefined : body)
}
