import { checkOf } from '@sluice/contracts'

interface Schema {
  description?: string
  properties?: Record<string, Schema>
  items?: Schema
  anyOf?: Schema[]
}
interface Content {
  schema: Schema
  example?: unknown
}

/** An operation of an OpenAPI document, as far as it is looked at. */
export interface DescribedOperation {
  operationId: string
  parameters?: { name: string; in: string; description?: string; schema?: Schema }[]
  requestBody?: { required: boolean; content: Record<string, Content> }
  responses: Record<string, { content?: Record<string, Content> }>
}

/** Of these nobody can guess the unit. */
const measured =
  /(?:nano_usd|_usd|_at|_ms|_seconds|_bytes|tokens)$|^(?:amount|limit|spent|held|left|unresolved|granted|settled|at|since|until|valid_from|valid_to)$/

/** Every field of what an operation takes and answers, by its place. */
export function fieldsOf(operation: DescribedOperation): { place: string; name: string; schema: Schema }[] {
  const contents = [
    ...Object.values(operation.requestBody?.content ?? {}),
    ...Object.values(operation.responses).flatMap(({ content }) => Object.values(content ?? {})),
  ]
  return contents.flatMap(({ schema }) => fieldsWithin(schema, operation.operationId))
}

function fieldsWithin(schema: Schema, place: string): { place: string; name: string; schema: Schema }[] {
  return [
    ...Object.entries(schema.properties ?? {}).flatMap(([name, member]) => [
      { place: `${place}.${name}`, name, schema: member },
      ...fieldsWithin(member, `${place}.${name}`),
    ]),
    ...(schema.items ? fieldsWithin(schema.items, `${place}[]`) : []),
    ...(schema.anyOf ?? []).flatMap(one => fieldsWithin(one, place)),
  ]
}

/** What an operation leaves open: units, and what a creation that may be repeated looks like. */
export function unexplained(operation: DescribedOperation): string[] {
  const silent = fieldsOf(operation)
    .filter(({ name, schema }) => measured.test(name) && !schema.description)
    .map(({ place }) => `${place} has no description`)
  const ofQuery = (operation.parameters ?? [])
    .filter(
      ({ in: where, name, description, schema }) =>
        where === 'query' && measured.test(name) && !(description ?? schema?.description),
    )
    .map(({ name }) => `${operation.operationId}?${name} has no description`)
  const body = operation.requestBody?.content['application/json']
  const isCreation = (operation.parameters ?? []).some(({ name }) => name === 'Idempotency-Key')
  if (!body || !(isCreation || body.example !== undefined)) return [...silent, ...ofQuery]
  if (body.example === undefined) return [...silent, ...ofQuery, `${operation.operationId} shows no body`]
  const { matches, problems } = checkOf(body.schema as Parameters<typeof checkOf>[0])
  return matches(body.example)
    ? [...silent, ...ofQuery]
    : [
        ...silent,
        ...ofQuery,
        `${operation.operationId}: its own example is refused: ${JSON.stringify(problems(body.example)[0])}`,
      ]
}
