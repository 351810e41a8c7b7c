import type { TProperties, TSchema, Type as TypeBox } from 'typebox'

type Options = Record<string, unknown>
type Names =
  | 'Array'
  | 'Boolean'
  | 'Enum'
  | 'Integer'
  | 'Literal'
  | 'Null'
  | 'Number'
  | 'Object'
  | 'Optional'
  | 'Partial'
  | 'Record'
  | 'String'
  | 'Tuple'
  | 'Union'
  | 'Unknown'
  | 'Unsafe'

/** Not in the JSON of a schema: only the object around it says what it must have. */
const optional = Symbol('optional')
const isOptional = (schema: TSchema) => optional in schema

const objectOf = (properties: TProperties, options?: Options) => {
  const required = Object.keys(properties).filter(name => !isOptional(properties[name] ?? {}))
  return { type: 'object', ...(required.length > 0 ? { required } : {}), properties, ...options }
}
const asOptional = (schema: TSchema) =>
  Object.defineProperty({ ...schema }, optional, { value: true, enumerable: false })

const builder = {
  Array: (items: TSchema, options?: Options) => ({ type: 'array', items, ...options }),
  Boolean: (options?: Options) => ({ type: 'boolean', ...options }),
  Enum: (values: readonly unknown[], options?: Options) => ({ enum: values, ...options }),
  Integer: (options?: Options) => ({ type: 'integer', ...options }),
  Literal: (value: unknown, options?: Options) => ({ type: typeof value, const: value, ...options }),
  Null: (options?: Options) => ({ type: 'null', ...options }),
  Number: (options?: Options) => ({ type: 'number', ...options }),
  Object: objectOf,
  Optional: asOptional,
  /** Of its properties alone, as TypeBox does it: what else the object says is left behind. */
  Partial: ({ properties }: { properties: TProperties }, options?: Options) =>
    objectOf(
      Object.fromEntries(Object.entries(properties).map(([name, schema]) => [name, asOptional(schema)])),
      options,
    ),
  Record: (key: TSchema & { pattern?: string }, value: TSchema, options?: Options) => ({
    type: 'object',
    patternProperties: { [key.pattern ?? '^.*$']: value },
    ...options,
  }),
  String: (options?: Options) => ({ type: 'string', ...options }),
  Tuple: (items: readonly TSchema[], options?: Options) => ({
    type: 'array',
    additionalItems: false,
    items,
    minItems: items.length,
    ...options,
  }),
  Union: (anyOf: readonly TSchema[], options?: Options) => ({ anyOf, ...options }),
  Unknown: (options?: Options) => ({ ...options }),
  Unsafe: (schema: TSchema) => ({ ...schema }),
} satisfies Record<Names, unknown>

/**
 * TypeBox's builder, as far as it is used here: the same JSON Schema and the same types. Its own brings the engine of a type
 * language with it, 300 files that every process would load to write down what is written here.
 */
export const Type = builder as unknown as Pick<typeof TypeBox, Names>
