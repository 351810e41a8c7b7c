import { Type } from '@sluice/contracts'
import { errorOf } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { actorOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { checkBaseUrl } from '../base-url.ts'
import { errors } from '../errors.ts'
import { applyIntegrationChange, auditedIntegration } from '../integration.ts'
import { findIntegration, putIntegration } from '../integration-store.ts'
import { announceProjectChange, lockProject } from '../project-store.ts'
import {
  type IntegrationParams,
  IntegrationPath,
  IntegrationResponse,
  toIntegrationResponse,
} from './integration-response.ts'
import { responses } from './route-schemas.ts'

const Body = Type.Object(
  {
    /** Printable ASCII, since it becomes a header. Not sent: the stored one stays. null: removed. */
    api_key: Type.Optional(Type.Union([Type.Null(), Type.String({ pattern: '^[\\x21-\\x7e]{1,4096}$' })])),
    base_url: Type.Optional(Type.Union([Type.Null(), Type.String({ minLength: 1, maxLength: 2048 })])),
  },
  { additionalProperties: false },
)

/** Sets a project's own credential and address at a provider. */
export function registerPutIntegration(app: FastifyInstance, deps: AppDeps): void {
  app.put<{ Params: IntegrationParams; Body: Static<typeof Body> }>(
    IntegrationPath,
    {
      config: { access: 'integrations:write' },
      schema: {
        summary: 'Set a project’s own credential and address at a provider',
        body: Body,
        response: responses({ 200: IntegrationResponse }),
      },
    },
    async request => {
      const { pid, dialect } = request.params
      const { api_key, base_url } = request.body
      const baseUrl =
        typeof base_url === 'string'
          ? checkBaseUrl(base_url, dialect, { allowPrivate: deps.allowPrivateUpstreams })
          : base_url
      const integration = await deps.changes.make(actorOf(request), async change => {
        await lockProject(change.trx, pid)
        const before = await findIntegration(change.trx, pid, dialect)
        const after = applyIntegrationChange(deps.box, pid, before, { apiKey: api_key, baseUrl })
        if (!after)
          throw errorOf(errors.invalidRequest, {
            message: 'Send api_key, base_url or both. To use the managed credential again, DELETE this resource.',
          })
        await putIntegration(change.trx, pid, dialect, after, new Date(change.nowMs))
        await announceProjectChange(change, pid)
        await change.audit({
          action: 'integration.changed',
          target: after.integrationId,
          projectId: pid,
          before: auditedIntegration(dialect, before),
          after: {
            ...auditedIntegration(dialect, after),
            api_key_replaced: after.envelope !== before?.envelope,
          },
        })
        return after
      })
      return toIntegrationResponse(integration)
    },
  )
}
