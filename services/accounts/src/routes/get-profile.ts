import { Type } from '@sluice/contracts'
import type { FastifyInstance } from 'fastify'
import { callerOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { notFound } from '../errors.ts'
import { findMember } from '../member-store.ts'
import { Profile, toProfile } from './profile-response.ts'
import { responses } from './route-schemas.ts'

const WhoAmI = Type.Object({
  kind: Type.Union([Type.Literal('member'), Type.Literal('key')]),
  id: Type.String(),
  account_id: Type.String(),
  account_admin: Type.Boolean(),
  operator: Type.Boolean(),
  email: Type.Optional(Type.String()),
  /** Role by project; an account's administrator has every project of it, listed or not. */
  roles: Type.Record(Type.String(), Type.String()),
})

/** Who the caller is: as a profile for people, and for keys too as `whoami`. Administrators see everybody's profile. */
export function registerGetProfile(app: FastifyInstance, deps: AppDeps): void {
  app.get<{ Params: { id: string } }>(
    '/accounts/profiles/:id',
    { config: { access: 'signed-in' }, schema: { summary: 'Get a profile', response: responses({ 200: Profile }) } },
    async request => {
      const { principal } = callerOf(request)
      const id = request.params.id === 'me' ? principal.id : request.params.id
      const isSelf = principal.kind === 'member' && id === principal.id
      const member = isSelf || principal.accountAdmin ? await findMember(deps.db, principal.accountId, id) : undefined
      if (!member) throw notFound()
      return toProfile(member)
    },
  )
  app.get(
    '/accounts/whoami',
    { config: { access: 'signed-in' }, schema: { summary: 'Ask who one is', response: responses({ 200: WhoAmI }) } },
    async request => {
      const { kind, id, accountId, accountAdmin, operator, roles } = callerOf(request).principal
      const member = kind === 'member' ? await findMember(deps.db, accountId, id) : undefined
      return {
        kind,
        id,
        account_id: accountId,
        account_admin: accountAdmin,
        operator,
        ...(member && { email: member.email }),
        roles: Object.fromEntries(roles),
      }
    },
  )
}
