import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http'
import { lazyCompilers, limitClosing } from '@sluice/runtime'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { HttpExchange } from './client-exchange.ts'
import type { createFront } from './front-routes.ts'
import type { FindAnswerer } from './listener/client-connection.ts'
import { createClientServer, type TlsFiles } from './listener/client-server.ts'
import { WholeRequests } from './listener/whole-requests.ts'
import { matchPath } from './match-path.ts'
import { type GatewayDeps, handleCall, takesWhole } from './request-path.ts'

export interface AppDeps extends GatewayDeps {
  front: ReturnType<typeof createFront>
  tls: TlsFiles | undefined
}

/**
 * The public listener. Provider paths go to `handleCall` on the raw request and response; the rest goes through Fastify to
 * the service that owns it. A call passes no framework: its hooks and routing are a tenth of what a call costs here. Most
 * calls do not pass Node's server either: see `listener`.
 * Opens nothing, listens to nothing.
 */
export function buildApp(deps: AppDeps): FastifyInstance {
  let whole: WholeRequests | undefined
  const app = Fastify({
    logger: false,
    exposeHeadRoutes: false,
    schemaController: lazyCompilers,
    forceCloseConnections: 'idle',
    return503OnClosing: false,
    serverFactory: other => {
      const server = createServer(deps, (request, response) => {
        if (!handleProviderPath(deps, request, response)) other(request, response)
      })
      whole = new WholeRequests(server, deps.tls ? 'secureConnection' : 'connection', findAnswerer(deps))
      return server
    },
  })
  app.addHook('preClose', done => {
    whole?.close()
    setTimeout(() => whole?.destroyAll(), closingMs).unref()
    done()
  })
  // Calls have ended before; what is left are their last bytes and connections that nobody uses.
  limitClosing(app, closingMs)
  // Bodies are handed on as bytes.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, _payload, done) => done(null))
  app.all('/*', (request, reply) => {
    reply.hijack()
    handleOther(deps, request.raw.url ?? '/', request, reply)
  })
  return app
}

const closingMs = 1_000

/** A call whose request came whole takes the same way as every call. */
function findAnswerer(deps: AppDeps): FindAnswerer {
  return ({ method, target }) => {
    const match = matchPath(method, target)
    if (!match?.endpoint || !takesWhole(match.endpoint)) return undefined
    return exchange => void handleCall(deps, match, exchange)
  }
}

function createServer(deps: AppDeps, listener: RequestListener): Server {
  const { tls, sockets } = deps
  // A request with any other `Upgrade` is an ordinary one: its offer is not taken up.
  const server = createClientServer(tls, { shouldUpgradeCallback: sockets.wants }, listener)
  return server.on('upgrade', (request, stream, head) => sockets.upgrade(deps, request, stream, head))
}

/** True where the request was a call, or could not be read as one. */
function handleProviderPath(deps: AppDeps, request: IncomingMessage, response: ServerResponse): boolean {
  const unreadable = statusOfFraming(request)
  if (unreadable !== undefined) {
    response.writeHead(unreadable, ['connection', 'close', 'content-length', '0'])
    response.end()
    return true
  }
  const target = request.url ?? '/'
  // Only origin-form targets: an absolute one names a host of its own.
  const match = target.startsWith('/') ? matchPath(request.method ?? '', target) : undefined
  if (match) void handleCall(deps, match, new HttpExchange(request, response))
  return match !== undefined
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
