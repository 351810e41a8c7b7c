import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { actorOf, callerOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { changeTeam } from '../change-team.ts'
import { responses } from './route-schemas.ts'
import { TeamBody, toTeamRequest } from './team-body.ts'
import { TeamResponse, toTeamResponse } from './team-response.ts'

/** Replaces what may be set of a team, from now on. */
export function registerChangeTeam(app: FastifyInstance, deps: AppDeps): void {
  app.put<{ Params: { pid: string; tid: string }; Body: Static<typeof TeamBody> }>(
    '/accounts/projects/:pid/teams/:tid',
    {
      config: { access: 'teams:write' },
      schema: { summary: 'Replace a team', body: TeamBody, response: responses({ 200: TeamResponse }) },
    },
    async request => {
      const { pid, tid } = request.params
      const wanted = toTeamRequest(request.body)
      const { permissions } = callerOf(request)
      const by = { mayBudget: permissions.has('budgets:write'), mayModels: permissions.has('models:write') }
      return toTeamResponse(
        await deps.changes.make(actorOf(request), change => changeTeam(change, pid, tid, wanted, by)),
      )
    },
  )
}
