import { sampleOf } from './schema-sample.ts'
import { sized } from './test-size.ts'

/** One operation of an OpenAPI document. */
export interface Operation {
  path: string
  method: string
  access: string
  /** JSON Schema of its body. */
  body: object | undefined
}

interface Described {
  'x-sluice-access': string
  requestBody?: { content: Record<string, { schema: object }> }
}

/** Every operation that a document describes. */
export function operationsOf(document: unknown): Operation[] {
  const { paths } = document as { paths: Record<string, Record<string, Described>> }
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      path,
      method: method.toUpperCase(),
      access: operation['x-sluice-access'],
      body: operation.requestBody?.content['application/json']?.schema,
    })),
  )
}

export interface Crawl<Credential> {
  operations: readonly Operation[]
  /** By the name of the role. */
  credentials: Readonly<Record<string, Credential>>
  /** The roles of each kind of credential that may do most: a small run calls each operation as them, and as one of the others in turn. */
  strongest?: readonly string[]
  call: (
    method: string,
    url: string,
    credential: Credential,
    body: unknown,
  ) => Promise<{ status: number; body: string }>
  /** Values for the places of a path, and for members of bodies. */
  places: Readonly<Record<string, string | undefined>>
  members?: Readonly<Record<string, unknown>>
  /** Stands in the other tenant's data alone: no answer may hold it. */
  canary: string
  /** Whether an operation may answer at all. */
  mayAnswer: (operation: Operation) => boolean
}

let crawls = 0

/**
 * Calls every operation as every role.
 * @returns what must not be: `read: …` for answers with the canary in them, `answered: …` where there must be no answer, and
 * `fault: …` for faults of ours
 */
export async function crawlRoutes<Credential>(
  crawl: Crawl<Credential>,
): Promise<{ requests: number; leaks: string[] }> {
  const leaks: string[] = []
  let requests = 0
  // Another one each time: what is crawled again, with other ids or without a wall, is seen by others.
  let turn = crawls++
  for (const operation of crawl.operations)
    for (const [role, credential] of rolesOf(crawl, turn++)) {
      requests++
      const url = operation.path.replaceAll(/\{(\w+)\}/g, (_, name: string) =>
        encodeURIComponent(crawl.places[name] ?? 'none'),
      )
      const sent = operation.body && sampleOf(operation.body, crawl.members ?? {})
      const { status, body } = await crawl.call(operation.method, url, credential, sent)
      // 501: what nobody is offered, of any project.
      const isFault = status >= 500 && status !== 501
      const isAnswered = status < 400 && !crawl.mayAnswer(operation)
      const found = body.includes(crawl.canary) ? 'read' : isAnswered ? 'answered' : isFault ? 'fault' : undefined
      if (found) leaks.push(`${found}: ${role}: ${operation.method} ${operation.path}: ${status} ${body.slice(0, 200)}`)
    }
  return { requests, leaks }
}

function rolesOf<Credential>(
  { credentials, strongest }: Pick<Crawl<Credential>, 'credentials' | 'strongest'>,
  turn: number,
): [string, Credential][] {
  const all = Object.entries(credentials)
  if (strongest === undefined) return all
  const others = all.filter(([role]) => !strongest.includes(role))
  const inTurn = others[turn % others.length]?.[0]
  const small = all.filter(([role]) => strongest.includes(role) || role === inTurn)
  return sized({ small, full: all })
}
