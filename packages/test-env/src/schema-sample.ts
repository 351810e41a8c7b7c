interface Schema {
  type?: string
  const?: unknown
  enum?: readonly unknown[]
  anyOf?: readonly Schema[]
  properties?: Record<string, Schema>
  required?: readonly string[]
  items?: Schema
  pattern?: string
  format?: string
  minimum?: number
  minLength?: number
}

/** Texts for the patterns that routes use; the first that fits is taken. */
const texts = [
  'probe',
  'probe@example.com',
  'openai/gpt-5',
  'call-by-a-probe',
  'https://api.example.com/v1',
  '2030-01-01',
  '10.0.0.0/8',
]

/**
 * A body that a schema takes, so that a request gets as far as the route itself. Members that are named in `known` have that
 * value, also where they are optional: ids of somebody else, say.
 */
export function sampleOf(schema: object, known: Readonly<Record<string, unknown>>): unknown {
  return sample(schema as Schema, known)
}

function sample(schema: Schema, known: Readonly<Record<string, unknown>>): unknown {
  if (schema.const !== undefined) return schema.const
  if (schema.enum) return schema.enum[0]
  if (schema.anyOf) return sample(schema.anyOf.find(({ type }) => type !== 'null') ?? {}, known)
  switch (schema.type) {
    case 'object':
      return Object.fromEntries(
        Object.entries(schema.properties ?? {})
          .filter(([name]) => schema.required?.includes(name) || name in known)
          .map(([name, member]) => [name, name in known ? known[name] : sample(member, known)]),
      )
    case 'array':
      return schema.items ? [sample(schema.items, known)] : []
    case 'integer':
    case 'number':
      return schema.minimum ?? 1
    case 'boolean':
      return true
    case 'null':
      return null
    default:
      return textFor(schema)
  }
}

function textFor({ pattern, format, minLength = 0 }: Schema): string {
  if (format === 'date-time') return '2030-01-01T00:00:00Z'
  const fits = new RegExp(pattern ?? '', 'u')
  return (texts.find(text => fits.test(text)) ?? 'x').padEnd(minLength, 'x')
}
