import { Type } from '@sluice/contracts'
import type { OpenApiDocument } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import { responses } from './route-schemas.ts'

const Document = Type.Unsafe<OpenApiDocument>({ type: 'object', additionalProperties: true })

/** The routes of this service as an OpenAPI document, written from their own schemas. */
export function registerGetOpenApi(app: FastifyInstance, document: () => OpenApiDocument): void {
  app.get(
    '/accounts/openapi.json',
    {
      config: { access: 'public' },
      schema: { summary: 'Get this document', response: responses({ 200: Document }) },
    },
    async () => document(),
  )
}
