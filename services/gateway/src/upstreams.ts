import { lookup } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { isPublicAddress } from '@sluice/runtime'
import { Pool } from 'undici'
import type { Route } from './resolve-route.ts'

/** Connections to providers, pooled by origin and kept alive. */
export interface Upstreams {
  poolOf: (route: Route) => Pool
  close: () => Promise<void>
}

/** Resolves, checks every address, and connects to a checked one: a name cannot be public for the check and private later. */
const publicLookup: LookupFunction = (hostname, options, callback) => {
  lookup(hostname, { ...options, all: true }, (error, addresses) => {
    if (error) return callback(error, '', 0)
    const list = addresses as unknown as { address: string; family: number }[]
    const bad = list.find(entry => !isPublicAddress(entry.address))
    const first = list[0]
    if (bad || !first) {
      const refused: NodeJS.ErrnoException = new Error(`${hostname} resolves to an address that is not public`)
      refused.code = 'EPRIVATEADDRESS'
      return callback(refused, '', 0)
    }
    if (options.all) (callback as unknown as (error: null, addresses: typeof list) => void)(null, list)
    else callback(null, first.address, first.family)
  })
}

/**
 * Opens pools on first use. HTTP/1.1, one request a connection at a time, no redirects followed. The timeouts of each
 * request say how long a provider may think; connecting takes 5 s at most.
 */
export function createUpstreams(options: { ca?: string | undefined } = {}): Upstreams {
  const pools = new Map<string, Pool>()
  return {
    poolOf(route) {
      const key = route.trustedAddress ? route.origin : `public ${route.origin}`
      let pool = pools.get(key)
      if (!pool) {
        pool = new Pool(route.origin, {
          connect: {
            timeout: 5_000,
            ...(route.trustedAddress ? {} : { lookup: publicLookup }),
            ...(options.ca === undefined ? {} : { ca: options.ca }),
          },
          keepAliveTimeout: 30_000,
          pipelining: 1,
          allowH2: false,
        })
        pools.set(key, pool)
      }
      return pool
    },
    close: async () => {
      await Promise.all([...pools.values()].map(pool => pool.destroy()))
    },
  }
}
