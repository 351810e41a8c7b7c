import { Id, Type } from '@sluice/contracts'
import { errorOf } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { actorOf, callerOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { chooseDefaultTeam } from '../change-team-member.ts'
import { errors } from '../errors.ts'
import { Done, responses } from './route-schemas.ts'

const Body = Type.Object({ team_id: Type.Union([Type.Null(), Id]) }, { additionalProperties: false })

/** Chooses which of somebody's teams pays where none is named: one's own among those one is in, or anybody's, and none, with `teams:write`. */
export function registerChooseDefaultTeam(app: FastifyInstance, deps: AppDeps): void {
  app.put<{ Params: { pid: string; uid: string }; Body: Static<typeof Body> }>(
    '/accounts/projects/:pid/users/:uid/default-team',
    {
      config: { access: 'project' },
      schema: {
        summary: 'Choose the team that pays for somebody’s calls where none is named',
        body: Body,
        response: responses({ 200: Done }),
      },
    },
    async request => {
      const { principal, permissions } = callerOf(request)
      const { pid, uid } = request.params
      const memberId = uid === 'me' ? principal.id : uid
      const managesTeams = permissions.has('teams:write')
      if (memberId !== principal.id && !managesTeams)
        throw errorOf(errors.forbidden, { message: 'Only who manages teams may choose for others.' })
      await deps.changes.make(actorOf(request), change =>
        chooseDefaultTeam(change, pid, memberId, request.body.team_id, { managesTeams }),
      )
      return { ok: true as const }
    },
  )
}
