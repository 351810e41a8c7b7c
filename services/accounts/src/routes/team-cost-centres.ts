import { Type } from '@sluice/contracts'
import { ContinuationToken, PageQuery, readPage, sizeForOlderClients, toPage } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import type { AppDeps } from '../app.ts'
import { planCostCentre } from '../change-team.ts'
import { createOnce } from '../create-once.ts'
import { notFound } from '../errors.ts'
import { listCostCentres } from '../team-cost-centre-store.ts'
import { findTeam } from '../team-store.ts'
import { readInstant } from './read-instant.ts'
import { Done, responses } from './route-schemas.ts'
import { CostCentre } from './team-body.ts'

const Body = Type.Object(
  {
    cost_centre: Type.Union([Type.Null(), CostCentre]),
    /** RFC 3339; not sent: now. */
    valid_from: Type.Optional(Type.Union([Type.Null(), Type.String({ format: 'date-time' })])),
  },
  { additionalProperties: false },
)
const Response = Type.Object({
  cost_centres: Type.Array(
    Type.Object({
      cost_centre: Type.String(),
      valid_from: Type.String(),
      valid_to: Type.Union([Type.String(), Type.Null()]),
    }),
  ),
  continuation_token: ContinuationToken,
})
const Query = Type.Object(PageQuery, { additionalProperties: false })
/** Of a team no two begin at once. */
const isInstant = (text: string) => !Number.isNaN(Date.parse(text)) && new Date(text).toISOString() === text
interface Params {
  pid: string
  tid: string
}

/** What a team has been booked on, is, and will be. */
export function registerTeamCostCentres(app: FastifyInstance, deps: AppDeps): void {
  app.get<{ Params: Params; Querystring: Static<typeof Query> }>(
    '/accounts/projects/:pid/teams/:tid/cost-centres',
    {
      config: { access: 'project' },
      schema: {
        summary: 'List the cost centres of a team over time',
        querystring: Query,
        response: responses({ 200: Response }),
      },
    },
    async request => {
      const { pid, tid } = request.params
      if (!(await findTeam(deps.db, pid, tid, new Date(deps.now())))) throw notFound()
      const list = `cost-centres ${tid}`
      const page = readPage(list, request.query, sizeForOlderClients, isInstant)
      const after = page.after === undefined ? undefined : new Date(page.after)
      const rows = await listCostCentres(deps.db, tid, { after, limit: page.limit + 1 })
      const { items, continuation_token } = toPage(list, page, rows, row => row.valid_from.toISOString())
      return {
        continuation_token,
        cost_centres: items.map(row => ({
          cost_centre: row.cost_centre,
          valid_from: row.valid_from.toISOString(),
          valid_to: row.valid_to?.toISOString() ?? null,
        })),
      }
    },
  )
  app.post<{ Params: Params; Body: Static<typeof Body> }>(
    '/accounts/projects/:pid/teams/:tid/cost-centres',
    {
      config: { access: 'teams:write', idempotent: true },
      schema: {
        summary: 'Book a team on a cost centre from a time on',
        example: { cost_centre: 'CC-1042', valid_from: '2027-01-01T00:00:00Z' },
        body: Body,
        response: responses({ 200: Done }),
      },
    },
    async request => {
      const { pid, tid } = request.params
      const { cost_centre: costCentre, valid_from } = request.body
      const from = typeof valid_from === 'string' ? readInstant('valid_from', valid_from) : null
      return createOnce(deps, request, async change => {
        await planCostCentre(change, pid, tid, { costCentre, from })
        return { ok: true as const }
      })
    },
  )
}
