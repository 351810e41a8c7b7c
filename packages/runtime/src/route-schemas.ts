import { Type } from '@sluice/contracts'
import type { FastifyInstance } from 'fastify'
import type { TSchema } from 'typebox'
import { describeRoutes, type OpenApiDocument } from './openapi.ts'

const ErrorResponse = Type.Object({
  error: Type.Object({ code: Type.String(), message: Type.String(), request_id: Type.String() }),
})

/** The responses of a route: what it answers, and the one error shape for everything else. */
export function responses<const Ok extends Record<number, TSchema>>(ok: Ok): Ok & Record<'4xx' | '5xx', TSchema> {
  return { ...ok, '4xx': ErrorResponse, '5xx': ErrorResponse }
}

const Document = Type.Unsafe<OpenApiDocument>({ type: 'object', additionalProperties: true })

/** Serves what is registered behind this as an OpenAPI document, at `path`. */
export function serveOpenApi(app: FastifyInstance, path: string, title: string): void {
  const document = describeRoutes(app, { title, version: '1' })
  let written: OpenApiDocument | undefined
  app.get(
    path,
    {
      config: { access: 'public' },
      schema: { summary: 'Get this document', response: responses({ 200: Document }) },
    },
    async () => {
      written ??= document()
      return written
    },
  )
}
