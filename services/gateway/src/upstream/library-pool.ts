import { createRequire } from 'node:module'
import type { Dispatcher, Pool } from 'undici'

/*
 * undici's pool by its files: the library as a whole brings its own fetch, WebSockets, caches and mocks, eighty files that every
 * gateway would load at its start.
 */
const part = createRequire(import.meta.url)
const LibraryPool: typeof Pool = part('undici/lib/dispatcher/pool.js')
const AnyDispatcher: typeof Dispatcher = part('undici/lib/dispatcher/dispatcher.js')
// What the library does when it is loaded as a whole: `request` and its like.
Object.assign(AnyDispatcher.prototype, part('undici/lib/api/index.js'))

/** Opens a pool of the library's connections to one origin. */
export function openLibraryPool(origin: string, options: Pool.Options): Pool {
  return new LibraryPool(origin, options)
}
