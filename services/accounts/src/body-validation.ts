import { checkOf, type SchemaProblem } from '@sluice/contracts'
import { errorOf } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { TSchema } from 'typebox'
import { errors } from './errors.ts'

/**
 * Bodies are taken as they came or refused, and so are queries but for numbers in their text: the framework's own validation
 * converts (`""` to null, a list of one to its element), and a converted credential or model list says something else than
 * its sender did.
 */
export function validateStrictly(app: FastifyInstance): void {
  app.setValidatorCompiler<TSchema>(({ schema, httpPart }) => {
    const { matches, problems } = checkOf(schema)
    const whole = httpPart === 'querystring' ? 'The query' : httpPart === 'headers' ? 'The head' : 'The body'
    return sent => {
      // All that a query can say is text.
      const data = httpPart === 'querystring' ? withValues(schema, sent as Record<string, unknown>) : sent
      return matches(data)
        ? { value: data }
        : { error: errorOf(errors.invalidRequest, { message: describe(problems(data), whole) }) }
    }
  })
}

/** A query whose integers are numbers and whose yes and no are booleans. What is not written as one stays text, and is refused. */
function withValues(schema: TSchema, query: Record<string, unknown>): Record<string, unknown> {
  const { properties } = schema as { properties?: Record<string, { type?: string }> }
  return Object.fromEntries(
    Object.entries(query).map(([name, text]) => {
      const type = properties?.[name]?.type
      if (type === 'integer' && typeof text === 'string' && /^-?\d+$/.test(text)) return [name, Number(text)]
      if (type === 'boolean' && (text === 'true' || text === 'false')) return [name, text === 'true']
      return [name, text]
    }),
  )
}

/** The problem nearest to the value that has it, by its field's name and never by its value. */
function describe(problems: readonly SchemaProblem[], whole: string): string {
  const unknown = problems.find(problem => problem.keyword === 'additionalProperties')
  if (unknown) {
    const { additionalProperties: names } = unknown.params as { additionalProperties: readonly string[] }
    return `${fieldOf(unknown, whole)} must not have ${names.map(name => JSON.stringify(name)).join(', ')}.`
  }
  const [deepest] = problems.toSorted((a, b) => depthOf(b) - depthOf(a))
  return deepest ? `${fieldOf(deepest, whole)} ${deepest.message}.` : errors.invalidRequest.message
}

const depthOf = (problem: SchemaProblem) => problem.instancePath.split('/').length
const fieldOf = (problem: SchemaProblem, whole: string) => problem.instancePath.slice(1).replaceAll('/', '.') || whole
