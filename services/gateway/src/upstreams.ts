import type { LookupFunction } from 'node:net'
import type { Readable } from 'node:stream'
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls'
import { publicLookup } from '@sluice/runtime'
import type { Dispatcher, Pool } from 'undici'
import type { Route } from './resolve-route.ts'
import { flatHeaders } from './upstream/flat-headers.ts'
import { openLibraryPool } from './upstream/library-pool.ts'
import { OriginPool } from './upstream/origin-pool.ts'
import { RepeatedHeaders } from './upstream/repeated-headers.ts'
import { UpstreamError } from './upstream/upstream-error.ts'
import type { UpstreamHandler, UpstreamRequest } from './upstream/upstream-handler.ts'

/** Belongs to the exchange from then on: it lets the body go. */
export type DispatchedRequest = Omit<UpstreamRequest, 'body'> & { body: Buffer | Readable }

function isInMemory(request: DispatchedRequest): request is UpstreamRequest {
  return Buffer.isBuffer(request.body)
}

/** Connections to providers, pooled by origin and kept alive. */
export interface Upstreams {
  /**
   * Sends a call to its provider: a body in memory by connections of our own, which cost a third of the CPU of the library's;
   * a body that is read from somewhere by the library's.
   */
  dispatch: (route: Route, request: DispatchedRequest, handler: UpstreamHandler) => void
  /** For requests of the gateway's own. */
  poolOf: (route: Route) => Pool
  /** How a connection of its own (a socket) is made, with the same checks. */
  connectOptionsOf: (route: Route) => { lookup?: LookupFunction; secureContext?: SecureContext }
  close: () => Promise<void>
}

/**
 * Opens pools on first use. HTTP/1.1, one request a connection at a time, no redirects followed. The timeouts of each
 * request say how long a provider may think; connecting takes 5 s at most.
 * @param options.ca PEM of authorities that are trusted beside those of Node
 */
export function createUpstreams(options: { ca?: string | undefined } = {}): Upstreams {
  const origins = new Map<string, OriginPool>()
  const pools = new Map<string, Pool>()
  const clock = setInterval(() => {
    const nowMs = performance.now()
    for (const pool of origins.values()) pool.check(nowMs)
  }, 250).unref()
  // A project's own address never shares connections with one that the operator trusts.
  const keyOf = (route: Route): string => (route.trustedAddress ? route.origin : `public ${route.origin}`)

  // Made once: reading some 150 authorities takes milliseconds.
  const secureContext = options.ca === undefined ? undefined : trustAlso(options.ca)
  const connectOptionsOf = (route: Route): { lookup?: LookupFunction; secureContext?: SecureContext } => ({
    ...(route.trustedAddress ? {} : { lookup: publicLookup }),
    ...(secureContext && { secureContext }),
  })

  function originOf(route: Route): OriginPool {
    const key = keyOf(route)
    let pool = origins.get(key)
    if (!pool) {
      pool = new OriginPool(route.origin, {
        secureContext,
        lookup: route.trustedAddress ? undefined : publicLookup,
      })
      origins.set(key, pool)
    }
    return pool
  }

  function poolOf(route: Route): Pool {
    const key = keyOf(route)
    let pool = pools.get(key)
    if (!pool) {
      pool = openLibraryPool(route.origin, {
        connect: {
          timeout: 5_000,
          ...connectOptionsOf(route),
        },
        keepAliveTimeout: 30_000,
        pipelining: 1,
        allowH2: false,
      })
      pools.set(key, pool)
    }
    return pool
  }

  return {
    connectOptionsOf,
    dispatch(route, request, handler) {
      if (isInMemory(request)) return originOf(route).dispatch(request, handler)
      poolOf(route).dispatch(
        {
          path: request.path,
          method: request.method as Dispatcher.HttpMethod,
          headers: [...(request.headers instanceof RepeatedHeaders ? request.headers.flat : request.headers)],
          body: request.body,
          headersTimeout: request.headersTimeoutMs,
          bodyTimeout: request.idleTimeoutMs,
        },
        adapt(handler),
      )
    },
    poolOf,
    close: async () => {
      clearInterval(clock)
      for (const pool of origins.values()) pool.close(new UpstreamError('CLOSED', 'the gateway is ending'))
      await Promise.all([...pools.values()].map(pool => pool.destroy()))
    },
  }
}

function trustAlso(ca: string): SecureContext {
  return createSecureContext({ ca: [...getCACertificates('default'), ca] })
}

/** Our handler as the library calls one. */
function adapt(handler: UpstreamHandler): Dispatcher.DispatchHandler {
  return {
    onRequestStart: controller => handler.onRequestStart(controller),
    onResponseStart: (controller, status, headers) => {
      if (status < 200) return
      handler.onResponseStart(controller, status, flatHeaders(headers))
    },
    onResponseData: (controller, chunk) => handler.onResponseData(controller, chunk),
    onResponseEnd: () => handler.onResponseEnd(),
    onResponseError: (controller, error) => handler.onResponseError(controller, error),
  }
}
