import { randomUUIDv7 } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { ClaimedDimensions, Dialect } from '@sluice/contracts'
import { isPlainText } from '@sluice/runtime'
import { type WebSocket, WebSocketServer } from 'ws'
import { allowModel } from '../allow-model.ts'
import { authenticate, authenticateAgain, type Principal } from '../authenticate.ts'
import { recogniseClient } from '../client-app.ts'
import type { Endpoint } from '../endpoints.ts'
import { holdBudget } from '../hold-budget.ts'
import { formerUpstream, integrationChanged } from '../integration-changed.ts'
import { LiveCalls } from '../live-calls.ts'
import { matchPath, type PathMatch } from '../match-path.ts'
import { requireOpenClass } from '../path-class.ts'
import { Refusal } from '../refusal.ts'
import { answerRefusal } from '../refusal-answer.ts'
import { refusedCall } from '../refused-call.ts'
import { type ReadHeaders, readHeaders } from '../request-headers.ts'
import { booksOf, type GatewayDeps, headersToForward, namesUs, pathNotSupported, toRefusal } from '../request-path.ts'
import { isSameUpstream, type Route } from '../resolve-route.ts'
import { sessionRoute } from './client-secret-route.ts'
import { type KnownCall, KnownCalls } from './known-calls.ts'
import { RealtimeSession } from './realtime-session.ts'
import { requireNegotiable } from './require-negotiable.ts'
import { ResponsesSession } from './responses-session.ts'
import { SilentClient } from './silent-client.ts'
import type { JoinedCall, SocketContext } from './socket-context.ts'
import type { SocketSession } from './socket-session.ts'
import { readOfferedProtocols } from './subprotocols.ts'
import { maxMessageBytes, openUpstreamSocket, UpstreamRefusal, type UpstreamSocket } from './upstream-socket.ts'

export interface SocketOptions {
  /** Sockets of clients, over all projects. */
  maxSockets: number
  /** Where the calls of this gateway are noted. */
  callsDir: string
  /** Origins from which browsers may connect; undefined: any, since a key must come with each socket. */
  allowedOrigins: readonly string[] | undefined
}

/** The sockets of this gateway, to be ended when permission goes or the process does. */
export interface Sockets {
  /** Sessions, whether a turn runs in them or not. */
  readonly live: LiveCalls
  readonly count: number
  /** Whether a request asks for one of our sockets; every other one is answered as usual. */
  wants: (request: IncomingMessage) => boolean
  upgrade: (deps: GatewayDeps, request: IncomingMessage, stream: Duplex, head: Buffer) => void
  /** Calls that were made and not answered yet. */
  readonly calls: KnownCalls
  /** Keeps a place for a call that is about to be made. @returns gives it back, once it is joined or was not made. @throws Refusal 503 */
  reserve: () => () => void
  /** Meters a call on the socket that joined it; without permission or money it is hung up. */
  join: (
    deps: GatewayDeps,
    context: SocketContext & { joined: JoinedCall },
    upstream: UpstreamSocket,
    connect: (route: Route) => Promise<UpstreamSocket>,
  ) => void
  /** Whether a call is metered here. */
  hasJoined: (callId: string) => boolean
  /** Hangs a call up that is metered here. Undefined: none of that id in the project is; false: not yet, it is tried again. */
  hangUp: (call: KnownCall) => Promise<boolean> | undefined
  /** Ends the sessions of a project that client secrets have begun. @returns how many */
  cutClientSecrets: (projectId: string, refusal: Refusal) => number
  /**
   * Ends the sessions of a project that are not connected to where its integrations lead now: idle ones at once, the others when
   * their turn has ended.
   */
  leaveFormer: (projectId: string, routeOf: RouteOf) => void
  /** The same for every session: the operator's access to a provider has changed. */
  leaveFormerManaged: (routeOf: (projectId: string) => RouteOf) => void
  /** The same for the sessions of a key whose turns another team would pay for now. */
  leaveFormerTeam: (keyId: string, routeOf: (projectId: string) => RouteOf) => void
  /** No new ones; those without a running turn close with 1012, the others when theirs has ended. */
  leave: () => void
  /** Ends what is left. */
  close: () => Promise<void>
}

/** Compression for clients only: each message by itself, so that an idle socket keeps no tables. */
const deflate = {
  serverNoContextTakeover: true,
  clientNoContextTakeover: true,
  threshold: 1024,
  concurrencyLimit: 8,
  zlibDeflateOptions: { level: 3, memLevel: 7 },
}
const closeTimeoutMs = 1_000

/** @param onFault told of a session that failed to end */
export function createSockets(options: SocketOptions, onFault: (error: unknown) => void): Sockets {
  const live = new LiveCalls(onFault)
  const sessions = new Set<SocketSession>()
  const chosen = new WeakMap<IncomingMessage, string>()
  const answerLines = new WeakMap<IncomingMessage, string[]>()
  const joined = new Map<string, { session: RealtimeSession; hangUp: () => Promise<boolean> }>()
  let opening = 0
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    maxPayload: maxMessageBytes,
    perMessageDeflate: deflate,
    handleProtocols: (_offered, request) => chosen.get(request) ?? false,
  })
  server.on('headers', (lines, request) => lines.push(...(answerLines.get(request) ?? [])))

  /** @throws Refusal 503 */
  function requireRoom(): void {
    if (sessions.size + opening > options.maxSockets)
      throw new Refusal('overloaded', 'This gateway holds as many sockets as it may. Try again in a moment.', {
        retryAfterS: 1,
      })
  }

  async function upgrade(deps: GatewayDeps, request: IncomingMessage, stream: Duplex, head: Buffer): Promise<void> {
    const callId = randomUUIDv7()
    const nowMs = Date.now()
    const match = matchPath('GET', request.url ?? '/', 'websocket')
    let headers: ReadHeaders | undefined
    let principal: Principal | undefined
    let model: string | undefined
    // Nobody else listens while the provider is asked.
    stream.on('error', () => stream.destroy())
    opening++
    try {
      if (!match) throw new Refusal('path_not_supported', 'There is no socket at this path.')
      refuseBadFraming(request)
      requireNegotiable(request.headers, deflate)
      headers = readHeaders(request.rawHeaders)
      headers.peer = request.socket.remoteAddress
      const { endpoint } = match
      if (!endpoint) throw pathNotSupported(match, 'WebSocket')
      if (headers.via !== '' && namesUs(headers.via, deps.gatewayId))
        throw new Refusal('proxy_loop', 'This socket has already passed this gateway: a provider base URL points back.')
      refuseOrigin(request.headers.origin, options.allowedOrigins)
      requireOpenGateway(deps, nowMs)
      requireRoom()
      const offered = readOfferedProtocols(request.headers['sec-websocket-protocol'])
      if (headers.credential === '') headers.credential = offered.credential
      const sinceMs = endpoint.takesClientSecrets ? nowMs : undefined
      principal = await authenticate(deps, headers, match.room, nowMs, sinceMs)
      model = modelOfQuery(match) ?? principal.clientSecret?.model
      admitSocket(deps, endpoint, match, principal, model, headers.claimed, nowMs)
      const route = deps.routes.resolve(principal.project, match.dialect, principal.identity.team_id)
      const forwarded = headersToForward(deps, { headers }, { span: undefined })
      const opener = principal
      const connect = (to: Route): Promise<UpstreamSocket> =>
        openUpstreamSocket(deps.upstreams, sessionRoute(to, opener), match, {
          headers: forwarded,
          protocols: offered.protocols,
        })
      const upstream = await connect(route)
      try {
        // What was taken away while the provider was asked has cut nothing: this socket was not there yet.
        const provedAtMs = Date.now()
        requireOpenGateway(deps, provedAtMs)
        principal = authenticateAgain(deps, principal, headers, match.room, provedAtMs, sinceMs)
        admitSocket(deps, endpoint, match, principal, model, headers.claimed, provedAtMs)
        const routeOfNow = deps.routes.resolve(principal.project, match.dialect, principal.identity.team_id)
        if (!isSameUpstream(route, routeOfNow)) throw integrationChanged()
      } catch (error) {
        upstream.socket.terminate()
        throw error
      }
      const opened = { callId, match, endpoint, headers, principal, route, model }
      const context: SocketContext = { ...opened, openedAtMs: nowMs }
      if (stream.destroyed) {
        upstream.socket.terminate()
        return
      }
      if (upstream.socket.protocol !== '') chosen.set(request, upstream.socket.protocol)
      answerLines.set(request, [
        `sluice-call-id: ${callId}`,
        `sluice-served-by: ${route.servedBy}`,
        `x-request-id: ${upstream.requestId ?? callId}`,
      ])
      const open = (client: WebSocket): void => {
        const Session = endpoint.model === 'query' ? RealtimeSession : ResponsesSession
        const onEnded = (): void => {
          sessions.delete(session)
          live.remove(session)
        }
        const session: SocketSession = new Session({ ...deps, connect, onEnded }, context, client, upstream)
        sessions.add(session)
        live.add(session)
      }
      let isJoined = false
      try {
        server.handleUpgrade(request, stream, head, client => {
          try {
            open(client)
            isJoined = true
          } catch (error) {
            // It is a socket by now: no answer of HTTP belongs on it.
            deps.onInternalError(error, callId)
            client.terminate()
          }
        })
      } finally {
        // It calls back at once or never: a client that has half left is dropped there without a word.
        if (!isJoined) upstream.socket.terminate()
      }
    } catch (error) {
      refuse(deps, { match, request, stream, callId, headers, principal, model }, error)
    } finally {
      opening--
    }
  }

  return {
    live,
    calls: new KnownCalls(options.callsDir),
    get count() {
      return sessions.size
    },
    wants: request => wantsSocket(request),
    upgrade: (deps, request, stream, head) => void upgrade(deps, request, stream, head),
    reserve() {
      opening++
      const giveBack = (): void => void opening--
      try {
        requireRoom()
      } catch (refusal) {
        giveBack()
        throw refusal
      }
      return giveBack
    },
    join(deps, context, upstream, connect) {
      const { callId, hangUp } = context.joined
      const onEnded = (): void => {
        joined.delete(callId)
        sessions.delete(session)
        live.remove(session)
      }
      // Of a socket only what a session uses of one.
      const client = new SilentClient(() => void hangUp()) as unknown as WebSocket
      const session = new RealtimeSession({ ...deps, connect, onEnded }, context, client, upstream)
      joined.set(callId, { session, hangUp })
      sessions.add(session)
      live.add(session)
    },
    hasJoined: callId => joined.has(callId),
    hangUp({ callId, projectId }) {
      const found = joined.get(callId)
      if (found?.session.identity.project_id !== projectId) return undefined
      const { session, hangUp } = found
      return hangUp().then(isOver => {
        // Its provider closes the socket as well; one that does not is not waited for.
        if (isOver) setTimeout(() => session.terminate(), closeTimeoutMs).unref()
        return isOver
      })
    },
    cutClientSecrets(projectId, refusal) {
      const theirs = [...sessions].filter(
        session => session.identity.project_id === projectId && session.isByClientSecret,
      )
      for (const session of theirs) session.cut({ refusal, style: 'explicit' })
      return theirs.length
    },
    leaveFormer(projectId, routeOf) {
      for (const session of [...sessions])
        if (session.identity.project_id === projectId && !session.isOn(routeNow(session, routeOf)))
          session.leave(formerUpstream())
    },
    leaveFormerManaged(routeOf) {
      for (const session of [...sessions])
        if (!session.isOn(routeNow(session, routeOf(session.identity.project_id)))) session.leave(formerUpstream())
    },
    leaveFormerTeam(keyId, routeOf) {
      for (const session of [...sessions]) {
        const { key_id, project_id, team_id } = session.identity
        if (key_id !== keyId || session.teamNow === team_id) continue
        if (!session.isOn(routeNow(session, routeOf(project_id)))) session.leave(formerUpstream())
      }
    },
    leave: () => {
      for (const session of [...sessions]) session.leave(goingDown())
    },
    async close() {
      for (const session of [...sessions]) session.leave(goingDown())
      const deadline = performance.now() + closeTimeoutMs
      while (sessions.size > 0 && performance.now() < deadline) await new Promise(resolve => setTimeout(resolve, 10))
      for (const session of [...sessions]) session.terminate()
    },
  }
}

function goingDown(): Refusal {
  return new Refusal('shutting_down', 'This gateway is shutting down. Connect again: another one will answer.', {
    retryAfterS: 1,
  })
}

/** Where turns of a team go. */
type RouteOf = (dialect: Dialect, teamId: string) => Route | undefined

/** Undefined where the project's settings lead nowhere. */
function routeNow({ dialect, teamNow }: SocketSession, routeOf: RouteOf): Route | undefined {
  try {
    return routeOf(dialect, teamNow)
  } catch {
    // Whoever connects again hears why.
    return undefined
  }
}

function wantsSocket(request: IncomingMessage): boolean {
  const target = request.url ?? '/'
  return (
    request.method === 'GET' &&
    request.httpVersion === '1.1' &&
    request.headers.upgrade?.toLowerCase() === 'websocket' &&
    target.startsWith('/') &&
    matchPath('GET', target, 'websocket') !== undefined
  )
}

/** A handshake has no body; whoever sends one hopes that someone behind us reads it as a request. */
function refuseBadFraming({ headers }: IncomingMessage): void {
  const version = headers['sec-websocket-version']
  const key = headers['sec-websocket-key']
  if (headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0')
    throw new Refusal('invalid_request', 'A WebSocket handshake has no body.')
  if (version !== '13' || key === undefined || !/^[+/0-9A-Za-z]{22}==$/.test(key))
    throw new Refusal('invalid_request', 'This is no WebSocket handshake of version 13.')
}

function refuseOrigin(origin: string | undefined, allowed: readonly string[] | undefined): void {
  if (origin === undefined || allowed === undefined || allowed.includes(origin.toLowerCase())) return
  throw new Refusal(
    'origin_not_allowed',
    'Browsers may not connect from this origin. The operator lists those that may.',
  )
}

/** `?model=`, once: readers disagree on which of two counts. */
function modelOfQuery({ query }: PathMatch): string | undefined {
  const models = new URLSearchParams(query).getAll('model')
  if (models.length > 1) throw new Refusal('invalid_request', 'The URL names two models. Name one.')
  const [model] = models
  if (model === undefined) return undefined
  if (model === '' || model.length > 256 || !isPlainText(model))
    throw new Refusal('model_missing', 'The "model" of the URL is empty, too long, or no plain text.')
  return model
}

function requireOpenGateway(deps: GatewayDeps, nowMs: number): void {
  const closed = deps.closedFor(nowMs)
  if (closed) throw closed
}

/** Its class of paths is open; where the URL names the model, the socket is refused as its turns would be. */
function admitSocket(
  deps: GatewayDeps,
  endpoint: Endpoint,
  match: PathMatch,
  principal: Principal,
  model: string | undefined,
  claimed: ClaimedDimensions,
  nowMs: number,
): void {
  requireOpenClass(endpoint, principal.project)
  if (endpoint.model !== 'query') return
  const query = new URLSearchParams(match.query)
  if (query.has('call_id'))
    throw new Refusal(
      'path_not_supported',
      'Joining a call by "call_id" is not open here: this gateway meters calls so.',
    )
  const { clientSecret } = principal
  if (clientSecret && model !== clientSecret.model)
    throw new Refusal(
      'model_not_allowed',
      `This client secret is for ${clientSecret.model ?? 'writing down what is heard'} alone.`,
    )
  if (model === undefined) {
    if (clientSecret || query.get('intent') === 'transcription') return
    throw new Refusal('model_missing', 'The URL names no model: add "?model=…", or "?intent=transcription".')
  }
  allowModel(principal, match.dialect, model, booksOf(deps.prices, principal, nowMs), endpoint.shape)
  // One that is spent opens nothing; what hard ones have is held by the session.
  holdBudget(deps, principal, match.dialect, model, claimed, nowMs)
}

interface RefusedUpgrade {
  match: PathMatch | undefined
  request: IncomingMessage
  stream: Duplex
  callId: string
  headers: ReadHeaders | undefined
  principal: Principal | undefined
  model: string | undefined
}

/** The answer to a handshake that becomes no socket: status and body as for a call, the provider's own where it gave one. */
function refuse(deps: GatewayDeps, refused: RefusedUpgrade, error: unknown): void {
  const { match, stream, callId, headers, principal, model } = refused
  if (error instanceof UpstreamRefusal) {
    writeAnswer(stream, error.status, [...error.headers, 'sluice-call-id', callId], error.body)
    return
  }
  const refusal = toRefusal(error, deps, callId)
  const dialect = match?.dialect ?? 'openai'
  const answer = answerRefusal(refusal, {
    dialect,
    refusalClass: (headers?.client ?? recogniseClient({ userAgent: '' })).refusalClass,
    callId,
    nowMs: Date.now(),
    budgetStatus: principal?.project.budget_status,
    publicOrigin: deps.publicOrigin,
  })
  writeAnswer(stream, answer.status, answer.headers, Buffer.from(answer.body))
  deps.onRefused(
    refusedCall(deps.gatewayId, callId, refusal, answer.status, {
      identity: principal?.identity,
      claimed: headers?.claimed ?? {},
      dialect,
      endpoint: match?.endpoint?.name ?? 'unknown',
      requestedModel: model,
    }),
  )
}

function writeAnswer(stream: Duplex, status: number, headers: readonly string[], body: Buffer): void {
  if (stream.destroyed) return
  let head = `HTTP/1.1 ${status} Refused\r\n`
  for (let i = 0; i < headers.length; i += 2) head += `${headers[i]}: ${headers[i + 1]}\r\n`
  stream.end(
    Buffer.concat([Buffer.from(`${head}content-length: ${body.length}\r\nconnection: close\r\n\r\n`, 'latin1'), body]),
  )
  // A client that goes on sending is not waited for.
  setTimeout(() => stream.destroy(), closeTimeoutMs).unref()
}
