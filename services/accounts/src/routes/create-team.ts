import { Type } from '@sluice/contracts'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { actorOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { createTeam } from '../create-team.ts'
import { DisplayName, responses } from './route-schemas.ts'
import { TeamResponse, toTeamResponse } from './team-response.ts'

const Body = Type.Object({ name: DisplayName }, { additionalProperties: false })

/** Makes a team in a project. */
export function registerCreateTeam(app: FastifyInstance, deps: AppDeps): void {
  app.post<{ Params: { pid: string }; Body: Static<typeof Body> }>(
    '/accounts/projects/:pid/teams',
    { config: { access: 'teams:write' }, schema: { body: Body, response: responses({ 200: TeamResponse }) } },
    async request => {
      const { pid } = request.params
      const team = await deps.changes.make(actorOf(request), change => createTeam(change, pid, request.body.name))
      return toTeamResponse(team)
    },
  )
}
