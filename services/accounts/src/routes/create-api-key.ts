import { Id, Type } from '@sluice/contracts'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import type { AppDeps } from '../app.ts'
import { createOnce } from '../create-once.ts'
import { ApiKeysPath, CreatedKey, newKeyFields, readNewKey } from './api-key-schemas.ts'
import { responses } from './route-schemas.ts'

const Body = Type.Object(
  {
    ...newKeyFields,
    /** A member of the project: budgets of and per member count the key's calls. */
    member_id: Type.Optional(Type.Union([Type.Null(), Id])),
  },
  { additionalProperties: false },
)

/** Makes a key and shows its value, this once; or takes one of another system, known by its hash. */
export function registerCreateApiKey(app: FastifyInstance, deps: AppDeps): void {
  app.post<{ Params: { pid: string }; Body: Static<typeof Body> }>(
    ApiKeysPath,
    {
      config: { access: 'keys:write', idempotent: true },
      schema: {
        summary: 'Create a key',
        example: {
          name: 'CI of the web team',
          team_id: 'team_01',
          models: ['openai/gpt-5.4*'],
          expires_at: '2027-06-30T00:00:00Z',
        },
        body: Body,
        response: responses({ 200: CreatedKey }),
      },
    },
    async request => {
      const { member_id: memberId = null, ...body } = request.body
      const owner = { projectId: request.params.pid, memberId, serviceAccountId: null }
      return createOnce(deps, request, readNewKey(deps, request, body, owner))
    },
  )
}
