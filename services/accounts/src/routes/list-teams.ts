import { Type } from '@sluice/contracts'
import { ContinuationToken, PageQuery, readPage, toPage } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import type { AppDeps } from '../app.ts'
import { listTeams } from '../team-store.ts'
import { responses } from './route-schemas.ts'
import { TeamResponse, toTeamResponse } from './team-response.ts'

const Query = Type.Object(
  {
    ...PageQuery,
    /** Those that are closed too. */
    closed: Type.Optional(Type.Boolean()),
  },
  { additionalProperties: false },
)
const Response = Type.Object({ teams: Type.Array(TeamResponse), continuation_token: ContinuationToken })

/** Lists the teams of a project: who pays for its calls. */
export function registerListTeams(app: FastifyInstance, deps: AppDeps): void {
  app.get<{ Params: { pid: string }; Querystring: Static<typeof Query> }>(
    '/accounts/projects/:pid/teams',
    {
      config: { access: 'project' },
      schema: { summary: 'List the teams of a project', querystring: Query, response: responses({ 200: Response }) },
    },
    async request => {
      const { pid } = request.params
      const page = readPage(`teams ${pid}`, request.query)
      const rows = await listTeams(deps.db, pid, {
        at: new Date(deps.now()),
        withClosed: request.query.closed ?? false,
        after: page.after,
        limit: page.limit + 1,
      })
      const { items, continuation_token } = toPage(`teams ${pid}`, page, rows, row => row.team_id)
      return { teams: items.map(toTeamResponse), continuation_token }
    },
  )
}
