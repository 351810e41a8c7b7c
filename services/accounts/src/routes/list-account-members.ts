import { Type } from '@sluice/contracts'
import { ContinuationToken, PageQuery, readPage, toPage } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { callerOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { listMembers } from '../member-store.ts'
import { AccountMemberResponse, toAccountMemberResponse } from './account-member-response.ts'
import { responses } from './route-schemas.ts'

const Query = Type.Object(PageQuery, { additionalProperties: false })
const Response = Type.Object({ members: Type.Array(AccountMemberResponse), continuation_token: ContinuationToken })

/** Lists the people of the caller's account. */
export function registerListAccountMembers(app: FastifyInstance, deps: AppDeps): void {
  app.get<{ Querystring: Static<typeof Query> }>(
    '/accounts/members',
    {
      config: { access: 'account-admin' },
      schema: { summary: 'List the people of the account', querystring: Query, response: responses({ 200: Response }) },
    },
    async request => {
      const page = readPage('members', request.query)
      const rows = await listMembers(deps.db, callerOf(request).principal.accountId, page.after, page.limit + 1)
      const { items, continuation_token } = toPage('members', page, rows, row => row.member_id)
      return { members: items.map(toAccountMemberResponse), continuation_token }
    },
  )
}
