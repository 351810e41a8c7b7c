import type { Static } from 'typebox'
import { defineDocument } from './define-event.ts'
import { Id, Uuid } from './ids.ts'
import { Type } from './type.ts'

/** Gateways answer here: they alone may open an integration's credential for a request, behind their own checks of its address. */
export const integrationTestSubject = 'gateway.integration-test.v1'

export const IntegrationTestRequestSchema = Type.Object({
  /** Absent: it is the operator's own. */
  project_id: Type.Optional(Uuid),
  integration_id: Id,
  /** Of the document that has the integration as it is to be tested: the project's, or its own where it is the operator's. */
  version: Type.Integer({ minimum: 1 }),
})
/** Asks the provider of an integration for its models, which costs nothing. By request and reply on {@link integrationTestSubject}. */
export const IntegrationTestRequest = defineDocument('integration test request', IntegrationTestRequestSchema)
export type IntegrationTestRequest = Static<typeof IntegrationTestRequestSchema>

export const IntegrationTestResultSchema = Type.Object({
  ok: Type.Boolean(),
  /** What came of it, in words. Never what the provider wrote. */
  message: Type.String(),
  /** The provider's; absent where it did not answer. */
  http_status: Type.Optional(Type.Integer()),
  duration_ms: Type.Integer({ minimum: 0 }),
  /** How many models the answer lists. */
  models: Type.Optional(Type.Integer({ minimum: 0 })),
})
export const IntegrationTestResult = defineDocument('integration test result', IntegrationTestResultSchema)
export type IntegrationTestResult = Static<typeof IntegrationTestResultSchema>
