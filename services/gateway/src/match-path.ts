import type { Dialect } from '@sluice/contracts'
import { type Endpoint, endpoints } from './endpoints.ts'

/** Where a request goes. `endpoint` is absent where the path is below a mount point and in no row of the table. */
export interface PathMatch {
  dialect: Dialect
  /** Path behind the mount point. */
  path: string
  /** With its `?`, untouched; empty where there is none. */
  query: string
  /** Room of the URL, for `/rooms/{room}/…`. */
  room: string | undefined
  endpoint: Endpoint | undefined
  /** For `/v1/models/{id}`. */
  modelId: string | undefined
}

const roomName = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/
const byRoute = new Map(
  endpoints.map(endpoint => [`${endpoint.dialect} ${endpoint.method} ${endpoint.path}`, endpoint]),
)

/**
 * Matches a request target against the mount points `/openai/v1`, `/v1`, `/anthropic/v1` and each below `/rooms/{room}`.
 * Only the path decides, never `Host`. @returns undefined where no provider path is meant
 */
export function matchPath(method: string, target: string): PathMatch | undefined {
  const mark = target.indexOf('?')
  const full = mark < 0 ? target : target.slice(0, mark)
  const query = mark < 0 ? '' : target.slice(mark)
  let rest = full
  let room: string | undefined
  if (rest.startsWith('/rooms/')) {
    const end = rest.indexOf('/', 7)
    if (end < 0) return undefined
    room = rest.slice(7, end)
    if (!roomName.test(room)) return undefined
    rest = rest.slice(end)
  }
  if (rest.startsWith('/openai/v1/')) return below('openai', method, rest.slice(7), query, room)
  if (rest.startsWith('/anthropic/v1/')) return below('anthropic', method, rest.slice(10), query, room)
  if (rest.startsWith('/v1/')) return below('openai', method, rest, query, room)
  return undefined
}

function below(dialect: Dialect, method: string, path: string, query: string, room: string | undefined): PathMatch {
  const endpoint = byRoute.get(`${dialect} ${method} ${path}`)
  if (endpoint) return { dialect, path, query, room, endpoint, modelId: undefined }
  const modelId = path.startsWith('/v1/models/') ? decode(path.slice('/v1/models/'.length)) : undefined
  const list = modelId ? byRoute.get(`${dialect} ${method} /v1/models`) : undefined
  return { dialect, path, query, room, endpoint: list, modelId }
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}
