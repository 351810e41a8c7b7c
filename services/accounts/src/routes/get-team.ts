import type { FastifyInstance } from 'fastify'
import type { AppDeps } from '../app.ts'
import { notFound } from '../errors.ts'
import { findTeam } from '../team-store.ts'
import { responses } from './route-schemas.ts'
import { TeamResponse, toTeamResponse } from './team-response.ts'

/** One team, closed or not. */
export function registerGetTeam(app: FastifyInstance, deps: AppDeps): void {
  app.get<{ Params: { pid: string; tid: string } }>(
    '/accounts/projects/:pid/teams/:tid',
    {
      config: { access: 'project' },
      schema: { summary: 'Get one team', response: responses({ 200: TeamResponse }) },
    },
    async request => {
      const team = await findTeam(deps.db, request.params.pid, request.params.tid, new Date(deps.now()))
      if (!team) throw notFound()
      return toTeamResponse(team)
    },
  )
}
