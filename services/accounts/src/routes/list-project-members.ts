import { Type } from '@sluice/contracts'
import { ContinuationToken, PageQuery, readPage, toPage } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import type { AppDeps } from '../app.ts'
import { countProjectMembers, listProjectMembers } from '../project-member-store.ts'
import { ProjectMemberResponse, toProjectMemberResponse } from './project-member-response.ts'
import { responses } from './route-schemas.ts'

const Query = Type.Object(
  {
    ...PageQuery,
    /** Part of an e-mail address or a name. */
    filter: Type.Optional(Type.String({ maxLength: 256 })),
    /** Pages as older clients ask for them. */
    count: Type.Optional(Type.Integer({ minimum: 1, maximum: 500 })),
    offset: Type.Optional(Type.Integer({ minimum: 0, maximum: 1_000_000 })),
  },
  { additionalProperties: false },
)
const Response = Type.Object({
  users: Type.Array(ProjectMemberResponse),
  total: Type.Integer(),
  continuation_token: ContinuationToken,
})

/** Lists the people of a project. */
export function registerListProjectMembers(app: FastifyInstance, deps: AppDeps): void {
  app.get<{ Params: { pid: string }; Querystring: Static<typeof Query> }>(
    '/accounts/projects/:pid/users',
    {
      config: { access: 'members:write' },
      schema: {
        summary: 'List the people of a project',
        querystring: Query,
        response: responses({ 200: Response }),
      },
    },
    async request => {
      const { pid } = request.params
      const { filter, count, offset, page_size = count, continuation_token } = request.query
      const asked = {
        ...(page_size === undefined ? {} : { page_size }),
        ...(continuation_token === undefined ? {} : { continuation_token }),
      }
      const page = readPage(`users ${pid}`, asked)
      const filtered = { text: filter || undefined }
      const rows = await listProjectMembers(deps.db, pid, filtered, { ...page, offset, limit: page.limit + 1 })
      const { items, continuation_token: next } = toPage(`users ${pid}`, page, rows, row => row.member_id)
      return {
        users: items.map(toProjectMemberResponse),
        total: await countProjectMembers(deps.db, pid, filtered),
        continuation_token: next,
      }
    },
  )
}
