import { errorOf } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { Value } from 'typebox/value'
import { errors } from './errors.ts'

/**
 * Bodies are taken as they came or refused, and so are queries but for numbers in their text: the framework's own validation converts (`""` to null, a list of one to its
 * element), and a converted credential or model list says something else than its sender did.
 */
export function validateStrictly(app: FastifyInstance): void {
  app.setValidatorCompiler<TSchema>(({ schema, httpPart }) => {
    const validator = Compile(schema)
    const whole = httpPart === 'querystring' ? 'The query' : httpPart === 'headers' ? 'The head' : 'The body'
    return sent => {
      // All that a query can say is text.
      const data = httpPart === 'querystring' ? Value.Convert(schema, Value.Clone(sent)) : sent
      return validator.Check(data)
        ? { value: data }
        : { error: errorOf(errors.invalidRequest, { message: describe(validator.Errors(data), whole) }) }
    }
  })
}

/** Clients that name a content type on every request send it with DELETE and sign-out too, without a body. */
export function allowEmptyBodies(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error')
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body === '') done(null, undefined)
    else parse(request, body.toString(), done)
  })
}

interface Problem {
  keyword: string
  instancePath: string
  params: object
  message: string
}

/** The problem nearest to the value that has it, by its field's name and never by its value. */
function describe(problems: readonly Problem[], whole: string): string {
  const unknown = problems.find(problem => problem.keyword === 'additionalProperties')
  if (unknown) {
    const { additionalProperties: names } = unknown.params as { additionalProperties: readonly string[] }
    return `${fieldOf(unknown, whole)} must not have ${names.map(name => JSON.stringify(name)).join(', ')}.`
  }
  const [deepest] = problems.toSorted((a, b) => depthOf(b) - depthOf(a))
  return deepest ? `${fieldOf(deepest, whole)} ${deepest.message}.` : errors.invalidRequest.message
}

const depthOf = (problem: Problem) => problem.instancePath.split('/').length
const fieldOf = (problem: Problem, whole: string) => problem.instancePath.slice(1).replaceAll('/', '.') || whole
