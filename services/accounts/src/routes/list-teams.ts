import { Type } from '@sluice/contracts'
import type { FastifyInstance } from 'fastify'
import type { AppDeps } from '../app.ts'
import { listTeams } from '../team-store.ts'
import { responses } from './route-schemas.ts'
import { TeamResponse, toTeamResponse } from './team-response.ts'

const Response = Type.Object({ teams: Type.Array(TeamResponse) })

/** Lists the teams of a project: who pays for its calls. */
export function registerListTeams(app: FastifyInstance, deps: AppDeps): void {
  app.get<{ Params: { pid: string } }>(
    '/accounts/projects/:pid/teams',
    { config: { access: 'project' }, schema: { response: responses({ 200: Response }) } },
    async request => ({ teams: (await listTeams(deps.db, request.params.pid)).map(toTeamResponse) }),
  )
}
