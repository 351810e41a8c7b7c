import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { callerOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { createOnce } from '../create-once.ts'
import { createTeam } from '../create-team.ts'
import { responses } from './route-schemas.ts'
import { TeamBody, toTeamRequest } from './team-body.ts'
import { TeamResponse, toTeamResponse } from './team-response.ts'

/** Makes a team in a project. */
export function registerCreateTeam(app: FastifyInstance, deps: AppDeps): void {
  app.post<{ Params: { pid: string }; Body: Static<typeof TeamBody> }>(
    '/accounts/projects/:pid/teams',
    {
      config: { access: 'teams:write', idempotent: true },
      schema: {
        summary: 'Create a team',
        example: {
          name: 'Platform',
          cost_centre: 'CC-1042',
          allowed_models: ['anthropic/*'],
          seat_budget: { amount_nano_usd: 50_000_000_000, window: 'month', mode: 'hard' },
        },
        body: TeamBody,
        response: responses({ 200: TeamResponse }),
      },
    },
    async request => {
      const wanted = toTeamRequest(request.body)
      const by = { mayBudget: callerOf(request).permissions.has('budgets:write') }
      return createOnce(deps, request, async change =>
        toTeamResponse(await createTeam(change, request.params.pid, wanted, by)),
      )
    },
  )
}
