import type { IncomingMessage, ServerResponse } from 'node:http'
import { pipeline } from 'node:stream/promises'
import { clientAddress } from '@sluice/runtime'
import type { Pool } from 'undici'
import { openLibraryPool } from './upstream/library-pool.ts'

/** A path pattern and the service it belongs to. */
export interface FrontRoute {
  segments: readonly string[]
  /** The pattern ended in `/**`: any number of segments more. */
  open: boolean
  origin: string
}

/** Thrown where `SLUICE_FRONT_ROUTES` cannot be read. */
export class FrontRoutesError extends Error {
  override name = 'FrontRoutesError'
}

/**
 * Reads `SLUICE_FRONT_ROUTES`: `pattern=url`, separated by commas, first match wins. A segment `*` stands for any one
 * segment, a last segment `**` for any number.
 * @throws FrontRoutesError
 */
export function parseFrontRoutes(text: string): FrontRoute[] {
  return text
    .split(',')
    .map(entry => entry.trim())
    .filter(entry => entry !== '')
    .map(entry => {
      const at = entry.indexOf('=')
      const pattern = entry.slice(0, at)
      const url = entry.slice(at + 1)
      if (at < 1 || !pattern.startsWith('/') || !URL.canParse(url))
        throw new FrontRoutesError(`"${entry}" is not of the form /pattern=url`)
      const segments = pattern.split('/').slice(1)
      const open = segments.at(-1) === '**'
      return { segments: open ? segments.slice(0, -1) : segments, open, origin: new URL(url).origin }
    })
}

/** The service that a path belongs to; undefined where none claims it. Dot segments are never followed. */
export function findFrontRoute(routes: readonly FrontRoute[], path: string): FrontRoute | undefined {
  const segments = path.split('/').slice(1)
  if (segments.some(segment => segment === '..' || segment === '.' || /%2e|%2f|%5c|\\/i.test(segment))) return undefined
  return routes.find(
    route =>
      (route.open ? segments.length >= route.segments.length : segments.length === route.segments.length) &&
      route.segments.every((segment, index) => segment === '*' || segment === segments[index]),
  )
}

const hopByHop = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'host',
  'expect',
  'forwarded',
])

/**
 * Hands a request to its service and the answer back, both as they are but for `x-forwarded-for`, which says where the client
 * is.
 */
export function createFront(
  routes: readonly FrontRoute[],
  trustedProxies: readonly string[],
): {
  find: (path: string) => FrontRoute | undefined
  hand: (route: FrontRoute, request: IncomingMessage, response: ServerResponse) => Promise<void>
  close: () => Promise<void>
} {
  const pools = new Map<string, Pool>()
  const poolOf = (origin: string): Pool => {
    let pool = pools.get(origin)
    if (!pool) {
      pool = openLibraryPool(origin, { connections: 64, headersTimeout: 70_000, bodyTimeout: 60_000 })
      pools.set(origin, pool)
    }
    return pool
  }
  return {
    find: path => findFrontRoute(routes, path),
    async hand(route, request, response) {
      const headers: string[] = []
      for (let i = 0; i < request.rawHeaders.length; i += 2) {
        const name = request.rawHeaders[i] as string
        const lower = name.toLowerCase()
        if (!hopByHop.has(lower) && !lower.startsWith('x-forwarded-'))
          headers.push(name, request.rawHeaders[i + 1] as string)
      }
      const forwardedFor = request.headersDistinct['x-forwarded-for']?.join(',')
      headers.push('x-forwarded-for', clientAddress(request.socket.remoteAddress, forwardedFor, trustedProxies) ?? '')
      try {
        const answer = await poolOf(route.origin).request({
          path: request.url ?? '/',
          method: request.method ?? 'GET',
          headers,
          body: request.method === 'GET' || request.method === 'HEAD' ? null : request,
        })
        const kept: string[] = []
        for (const [name, value] of Object.entries(answer.headers)) {
          if (hopByHop.has(name) || value === undefined) continue
          for (const one of Array.isArray(value) ? value : [value]) kept.push(name, one)
        }
        response.writeHead(answer.statusCode, kept)
        await pipeline(answer.body, response)
      } catch {
        if (response.headersSent) return void response.destroy()
        const body = JSON.stringify({
          error: {
            code: 'service_unavailable',
            message: 'The service behind this path is not reachable right now. Try again in a moment.',
          },
        })
        response.writeHead(503, [
          'content-type',
          'application/json',
          'retry-after',
          '1',
          'content-length',
          String(Buffer.byteLength(body)),
        ])
        response.end(body)
      }
    },
    close: async () => {
      await Promise.all([...pools.values()].map(pool => pool.destroy()))
    },
  }
}
