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
  /** What stands in place of the parameter of the row's path, decoded: a model, or the id of something stored. */
  parameter: string | undefined
}

type Transport = Endpoint['transport']
type ByMethod = ReadonlyMap<string, Endpoint>

/** A path with a parameter, cut at its braces. */
interface Pattern {
  prefix: string
  suffix: string
  /** What the parameter may be: any text, or an id that means the same to every reader of a path. */
  isId: boolean
  byMethod: Map<string, Endpoint>
}

interface Table {
  exact: ReadonlyMap<string, ByMethod>
  patterns: readonly Pattern[]
}

const roomName = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/
const plainId = /^(?!\.+$)[\w.:-]{1,256}$/
const maxParameterLength = 256

const tables: Record<Transport, Record<Dialect, Table>> = {
  http: { openai: tableOf('http', 'openai'), anthropic: tableOf('http', 'anthropic') },
  websocket: { openai: tableOf('websocket', 'openai'), anthropic: tableOf('websocket', 'anthropic') },
}

function tableOf(transport: Transport, dialect: Dialect): Table {
  const exact = new Map<string, Map<string, Endpoint>>()
  const patterns = new Map<string, Pattern>()
  for (const endpoint of endpoints) {
    if (endpoint.transport !== transport || endpoint.dialect !== dialect) continue
    const { path } = endpoint
    const open = path.indexOf('{')
    if (open < 0) {
      const byMethod = exact.get(path) ?? new Map<string, Endpoint>()
      exact.set(path, byMethod.set(endpoint.method, endpoint))
      continue
    }
    const close = path.indexOf('}', open)
    const pattern = patterns.get(path) ?? {
      prefix: path.slice(0, open),
      suffix: path.slice(close + 1),
      isId: path.slice(open, close) !== '{model',
      byMethod: new Map(),
    }
    pattern.byMethod.set(endpoint.method, endpoint)
    patterns.set(path, pattern)
  }
  return { exact, patterns: [...patterns.values()] }
}

/**
 * Matches a request target against the mount points `/openai/v1`, `/v1`, `/anthropic/v1` and each below `/rooms/{room}`.
 * Only the path decides, never `Host`. @returns undefined where no provider path is meant
 */
export function matchPath(method: string, target: string, transport: Transport = 'http'): PathMatch | undefined {
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
  const below = tables[transport]
  if (rest.startsWith('/openai/v1/')) return find(below.openai, 'openai', method, rest.slice(7), query, room)
  if (rest.startsWith('/anthropic/v1/')) return find(below.anthropic, 'anthropic', method, rest.slice(10), query, room)
  if (rest.startsWith('/v1/')) return find(below.openai, 'openai', method, rest, query, room)
  return undefined
}

function find(
  table: Table,
  dialect: Dialect,
  method: string,
  path: string,
  query: string,
  room: string | undefined,
): PathMatch {
  const exact = table.exact.get(path)
  if (exact) return { dialect, path, query, room, endpoint: exact.get(method), parameter: undefined }
  for (const pattern of table.patterns) {
    const parameter = parameterOf(pattern, path)
    if (parameter !== undefined)
      return { dialect, path, query, room, endpoint: pattern.byMethod.get(method), parameter }
  }
  return { dialect, path, query, room, endpoint: undefined, parameter: undefined }
}

/** What stands in the parameter's place; undefined where the path is another one. */
function parameterOf({ prefix, suffix, isId }: Pattern, path: string): string | undefined {
  if (!path.startsWith(prefix) || !path.endsWith(suffix) || path.length <= prefix.length + suffix.length)
    return undefined
  const raw = path.slice(prefix.length, path.length - suffix.length)
  // An id goes on as it came: no escape in it that a provider might read as something else.
  if (isId) return plainId.test(raw) ? raw : undefined
  return raw.includes('/') || raw.length > 3 * maxParameterLength ? undefined : decode(raw)
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}
