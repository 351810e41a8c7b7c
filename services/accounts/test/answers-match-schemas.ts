import assert from 'node:assert/strict'
import { checkOf, type SchemaCheck } from '@sluice/contracts'
import type { FastifyInstance } from 'fastify'
import type { TSchema } from 'typebox'

const checks = new WeakMap<TSchema, SchemaCheck<unknown>>()

/** Of what matches nobody asks what is wrong with it, which takes ten times as long. */
function problemsOf(schema: TSchema, value: unknown) {
  const check = checks.get(schema) ?? checkOf(schema)
  checks.set(schema, check)
  return check.matches(value) ? [] : check.problems(value)
}

/**
 * Holds every answer of an app against the schema of its route, before and after it is written: what the schema lacks would
 * be left out in silence. @returns what did not match so far
 */
export function watchAnswers(app: FastifyInstance): string[] {
  const problems: string[] = []
  const sent = new WeakMap<object, unknown>()
  app.addHook('preSerialization', async (request, _reply, payload) => {
    sent.set(request, payload)
    return payload
  })
  app.addHook('onSend', async (request, reply, payload) => {
    const answer = sent.get(request)
    if (request.is404 || answer === undefined || typeof payload !== 'string') return payload
    const where = `${request.method} ${request.routeOptions.url} ${reply.statusCode}`
    const schemas = (request.routeOptions.schema?.response ?? {}) as Record<string, TSchema>
    const schema = schemas[reply.statusCode] ?? schemas[`${String(reply.statusCode).charAt(0)}xx`]
    const written: unknown = JSON.parse(payload)
    if (!schema) problems.push(`${where}: no schema`)
    else
      for (const { instancePath, message } of problemsOf(schema, written))
        problems.push(`${where}: ${instancePath} ${message}`)
    try {
      assert.deepEqual(written, JSON.parse(JSON.stringify(answer)))
    } catch (error) {
      problems.push(`${where}: what was written is not what was answered: ${error}`)
    }
    return payload
  })
  return problems
}
