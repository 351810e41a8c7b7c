import { Type } from '@sluice/contracts'
import type { FastifyInstance } from 'fastify'
import type { AppDeps } from '../app.ts'
import { notFound } from '../errors.ts'
import { findIntegration } from '../integration-store.ts'
import { readProjectDocument } from '../project-store.ts'
import { IntegrationsPath } from './integration-schemas.ts'
import { responses } from './route-schemas.ts'

/** What came of asking a provider for its models. */
export const TestResult = Type.Object({
  ok: Type.Boolean(),
  message: Type.String(),
  http_status: Type.Optional(Type.Integer()),
  duration_ms: Type.Integer(),
  models: Type.Optional(Type.Integer()),
})

/** Tries an integration as a gateway would use it: its provider is asked for its models, which costs nothing. */
export function registerTestIntegration(app: FastifyInstance, deps: AppDeps): void {
  app.post<{ Params: { pid: string; iid: string } }>(
    `${IntegrationsPath}/:iid/test`,
    {
      config: { access: 'integrations:write' },
      schema: { summary: 'Test an integration', response: responses({ 200: TestResult }) },
    },
    async request => {
      const { pid, iid } = request.params
      if (!(await findIntegration(deps.db, pid, iid))) throw notFound()
      const { version } = await readProjectDocument(deps.db, pid)
      return deps.testIntegration({ project_id: pid, integration_id: iid, version })
    },
  )
}
