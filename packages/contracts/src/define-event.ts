import type { Static, TSchema } from 'typebox'
import { checkOf } from './schema-check.ts'

/** Thrown when a message does not match its event's schema. The text names the field, never its value. */
export class ContractError extends Error {
  override name = 'ContractError'
}

/** An event that crosses a service border: its CloudEvents `type`, its NATS subject, its schema, and the check of both sides. */
export interface EventContract<Schema extends TSchema, SubjectArgs extends readonly (string | number)[]> {
  /** CloudEvents `type`, past tense, with its version: `usage.recorded.v1`. */
  readonly type: string
  /** The NATS subject, broad to narrow. */
  readonly subject: (...args: SubjectArgs) => string
  readonly schema: Schema
  /** Checks a parsed message and returns it typed. @throws ContractError naming the first wrong field */
  readonly check: (data: unknown) => Static<Schema>
  /** Parses JSON text or bytes, then checks. @throws ContractError */
  readonly decode: (json: string | Uint8Array) => Static<Schema>
  /** Checks, then writes JSON text. @throws ContractError */
  readonly encode: (data: Static<Schema>) => string
}

/** Declares an event. Publishers `encode`, consumers `decode`: both check. */
export function defineEvent<
  Schema extends TSchema,
  const SubjectArgs extends readonly (string | number)[],
>(definition: {
  type: string
  subject: (...args: SubjectArgs) => string
  schema: Schema
}): EventContract<Schema, SubjectArgs> {
  const document = defineDocument(definition.type, definition.schema)
  return { ...definition, ...document }
}

/** A document in a KV bucket: like an event, without a subject. */
export interface DocumentContract<Schema extends TSchema> {
  readonly schema: Schema
  readonly check: (data: unknown) => Static<Schema>
  readonly decode: (json: string | Uint8Array) => Static<Schema>
  readonly encode: (data: Static<Schema>) => string
}

/** Declares a KV document. `name` appears in errors. */
export function defineDocument<Schema extends TSchema>(name: string, schema: Schema): DocumentContract<Schema> {
  const { matches, problems } = checkOf(schema)
  const text = new TextDecoder()
  const check = (data: unknown): Static<Schema> => {
    if (matches(data)) return data
    const [first] = problems(data)
    throw new ContractError(`${name}: ${first?.instancePath || '/'} ${first?.message ?? 'does not match'}`)
  }
  const decode = (json: string | Uint8Array): Static<Schema> => {
    let data: unknown
    try {
      data = JSON.parse(typeof json === 'string' ? json : text.decode(json))
    } catch {
      throw new ContractError(`${name}: not JSON`)
    }
    return check(data)
  }
  return { schema, check, decode, encode: data => JSON.stringify(check(data)) }
}
