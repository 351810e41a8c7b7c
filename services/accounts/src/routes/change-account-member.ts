import { Type } from '@sluice/contracts'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { actorOf, callerOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { changeAccountMember } from '../change-account-member.ts'
import { AccountMemberResponse, AccountRights, toAccountMemberResponse } from './account-member-response.ts'
import { responses } from './route-schemas.ts'

const Body = Type.Object(AccountRights, { additionalProperties: false })

/** Replaces what somebody is in the caller's account. */
export function registerChangeAccountMember(app: FastifyInstance, deps: AppDeps): void {
  app.put<{ Params: { uid: string }; Body: Static<typeof Body> }>(
    '/accounts/members/:uid',
    {
      config: { access: 'account-admin' },
      schema: {
        summary: 'Replace what somebody is in the account',
        body: Body,
        response: responses({ 200: AccountMemberResponse }),
      },
    },
    async request => {
      const { accountId, operator } = callerOf(request).principal
      const { account_admin: accountAdmin, operator: makesOperator, disabled } = request.body
      const member = await deps.changes.make(actorOf(request), change =>
        changeAccountMember(change, { accountId, isOperator: operator }, request.params.uid, {
          accountAdmin,
          operator: makesOperator,
          disabled,
        }),
      )
      return toAccountMemberResponse(member)
    },
  )
}
