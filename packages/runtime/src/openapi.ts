import type { FastifyInstance, RouteOptions } from 'fastify'
import { describeParameter, withFieldDescriptions } from './field-descriptions.ts'

type Json = Record<string, unknown>

/** An OpenAPI 3.1 document. */
export interface OpenApiDocument extends Json {
  openapi: '3.1.0'
  paths: Record<string, Record<string, Json>>
}

/** What a route has to say of itself to be described. */
export interface DescribedRoute {
  method: string
  /** As the framework writes it. */
  url: string
  summary: string
  /** Who may use it; `public` needs no credential. */
  access: string
  /** Takes an `Idempotency-Key`. */
  idempotent: boolean
  params?: Json | undefined
  querystring?: Json | undefined
  body?: Json | undefined
  description?: string | undefined
  /** A body as somebody would send it. */
  example?: unknown
  /** Content type of what it answers when all is well. */
  produces: string
  response: Record<string, Json>
}

/**
 * Collects what is registered on an app from now on, each route by its schemas. Every one must say what it does and who may
 * use it (`schema.summary`, `config.access`), in words that no other route says.
 * @returns writes the document of what has been registered
 */
export function describeRoutes(app: FastifyInstance, info: { title: string; version: string }): () => OpenApiDocument {
  const routes: DescribedRoute[] = []
  const named = new Map<string, string>()
  app.addHook('onRoute', route => {
    for (const method of [route.method].flat()) {
      if (method === 'HEAD') continue
      const described = describeRoute(method, route)
      const operationId = operationIdOf(described.summary)
      const other = named.get(operationId)
      // Clients are generated with one function for each.
      if (other !== undefined) throw new Error(`${method} ${route.url} says that it does the same as ${other}`)
      named.set(operationId, `${method} ${route.url}`)
      routes.push(described)
    }
  })
  return () => writeOpenApi(info, routes)
}

/** Writes the document of routes; their schemas are JSON Schema, which OpenAPI 3.1 takes as it is. Pure. */
export function writeOpenApi(
  info: { title: string; version: string },
  routes: readonly DescribedRoute[],
): OpenApiDocument {
  const paths: OpenApiDocument['paths'] = {}
  for (const route of routes) {
    const path = toTemplate(route.url)
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: toOperation(route, path) }
  }
  return {
    openapi: '3.1.0',
    info,
    paths: Object.fromEntries(Object.entries(paths).sort(([a], [b]) => (a < b ? -1 : 1))),
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'A session token or a key' },
        cookie: { type: 'apiKey', in: 'cookie', name: 'sluice_session', description: 'A browser’s session' },
      },
    },
  }
}

function describeRoute(method: string, route: RouteOptions): DescribedRoute {
  const schema = (route.schema ?? {}) as Json & {
    summary?: string
    description?: string
    example?: unknown
    produces?: string
    response?: Record<string, Json>
  }
  const config = (route.config ?? {}) as { access?: string; idempotent?: boolean }
  if (!schema.summary) throw new Error(`${method} ${route.url} does not say what it does: give its schema a summary`)
  if (!config.access) throw new Error(`${method} ${route.url} does not say who may use it`)
  return {
    method,
    url: route.url,
    summary: schema.summary,
    access: config.access,
    idempotent: config.idempotent === true,
    params: schema.params as Json | undefined,
    querystring: schema.querystring as Json | undefined,
    body: schema.body as Json | undefined,
    description: schema.description,
    example: schema.example,
    produces: schema.produces ?? 'application/json',
    response: schema.response ?? {},
  }
}

/** `/projects/:pid/access::test` → `/projects/{pid}/access:test`. */
function toTemplate(url: string): string {
  return url
    .replaceAll('::', '\0')
    .replaceAll(/:([A-Za-z0-9_]+)(\([^/]*\))?/g, '{$1}')
    .replaceAll('\0', ':')
}

function toOperation(route: DescribedRoute, path: string): Json {
  const parameters = [
    ...[...path.matchAll(/\{([^}]+)\}/g)].map(([, name = '']) => ({
      name,
      in: 'path',
      required: true,
      ...(pathParameters[name] === undefined ? {} : { description: pathParameters[name] }),
      schema: propertiesOf(route.params)[name] ?? { type: 'string' },
    })),
    ...Object.entries(propertiesOf(route.querystring)).map(([name, schema]) => ({
      name,
      in: 'query',
      required: requiredOf(route.querystring).includes(name),
      ...(describeParameter(name) === undefined || schema.description !== undefined
        ? {}
        : { description: describeParameter(name) }),
      schema,
    })),
    ...(route.idempotent ? [idempotencyKey] : []),
  ]
  return {
    operationId: operationIdOf(route.summary),
    summary: route.summary,
    ...(route.description === undefined ? {} : { description: route.description }),
    tags: [tagOf(path)],
    'x-sluice-access': route.access,
    security: route.access === 'public' ? [] : [{ bearer: [] }, { cookie: [] }],
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(route.body === undefined
      ? {}
      : {
          requestBody: {
            required: !takesNothing(route.body),
            content: contentOf(route.body, 'application/json', route.example),
          },
        }),
    responses: Object.fromEntries(
      Object.entries(route.response).map(([code, schema]) => [
        code.toUpperCase(),
        {
          description: descriptions[code] ?? 'Answered',
          ...(schema.type === 'null'
            ? {}
            : { content: contentOf(schema, code.endsWith('xx') ? undefined : route.produces) }),
        },
      ]),
    ),
  }
}

const descriptions: Record<string, string> = {
  '200': 'Done',
  '201': 'Made',
  '204': 'Done, and nothing to tell',
  '4xx': 'Not done: the message says what to do',
  '5xx': 'Not done: something is wrong on our side',
}

const idempotencyKey = {
  name: 'Idempotency-Key',
  in: 'header',
  required: false,
  description: 'The same request under it again makes nothing and gets the same answer, for 24 hours',
  schema: { type: 'string', minLength: 1, maxLength: 255 },
}

const pathParameters: Readonly<Record<string, string>> = {
  pid: 'The project',
  tid: 'The team',
  uid: 'The person; `me` where it may be oneself',
  mid: 'The person',
  sid: 'The service account, by its id or its name',
  iid: 'The integration',
  gid: 'Any text: the body says whose grant it is',
  room: 'The room, by its name',
  dialect: 'The provider: `openai` or `anthropic`',
  call_id: 'The call, as `sluice-call-id` of its answer says',
}

/** What a path is about: `teams` of `/accounts/projects/{pid}/teams/{tid}`. */
function tagOf(path: string): string {
  const [, , third = 'openapi'] = path.split('/')
  const ofProject = /^\/accounts\/projects\/\{pid\}\/([^/:]+)/.exec(path)?.[1]
  return ofProject ?? third.replace(/:.*/, '')
}

/** Whether a request may come without a body. */
function takesNothing(body: Json): boolean {
  const alternatives = Array.isArray(body.anyOf) ? (body.anyOf as Json[]) : [body]
  return alternatives.some(({ type }) => type === 'null')
}

const contentOf = (schema: Json, type = 'application/json', example?: unknown) => ({
  [type]: { schema: withFieldDescriptions(schema), ...(example === undefined ? {} : { example }) },
})
const propertiesOf = (schema: Json | undefined) => (schema?.properties ?? {}) as Record<string, Json>
const requiredOf = (schema: Json | undefined) => (schema?.required ?? []) as string[]

/** `List the people of a project` → `listThePeopleOfAProject`. */
function operationIdOf(summary: string): string {
  const words = summary
    .normalize('NFKD')
    .replaceAll(/[^A-Za-z0-9 ]/g, '')
    .split(' ')
    .filter(word => word !== '')
  return words
    .map((word, index) => (index === 0 ? word.toLowerCase() : `${word.charAt(0).toUpperCase()}${word.slice(1)}`))
    .join('')
}
