import { Type } from '@sluice/contracts'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { actorOf, callerOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { notFound } from '../errors.ts'
import { lockMember, updateProfile } from '../member-store.ts'
import { Profile, toProfile } from './profile-response.ts'
import { PersonNamePart, responses } from './route-schemas.ts'

const Body = Type.Object({ first_name: PersonNamePart, last_name: PersonNamePart }, { additionalProperties: false })

/** Replaces one's own name; an administrator of the account may replace anybody's in it. */
export function registerChangeProfile(app: FastifyInstance, deps: AppDeps): void {
  app.put<{ Params: { id: string }; Body: Static<typeof Body> }>(
    '/accounts/profiles/:id',
    {
      config: { access: 'signed-in' },
      schema: { summary: 'Replace the name in a profile', body: Body, response: responses({ 200: Profile }) },
    },
    async request => {
      const { principal } = callerOf(request)
      const id = request.params.id === 'me' ? principal.id : request.params.id
      const isSelf = principal.kind === 'member' && id === principal.id
      if (!isSelf && !principal.accountAdmin) throw notFound()
      const { first_name: firstName, last_name: lastName } = request.body
      return deps.changes.make(actorOf(request), async change => {
        const before = await lockMember(change.trx, principal.accountId, id)
        await updateProfile(change.trx, id, { firstName, lastName })
        // Names live in the members' table alone: the trail is kept for ever and says only what of it has changed.
        const changed = [
          ...(before.first_name === firstName ? [] : ['first_name']),
          ...(before.last_name === lastName ? [] : ['last_name']),
        ]
        await change.audit({ action: 'member.profile-changed', target: id, after: { changed } })
        return toProfile({ ...before, first_name: firstName, last_name: lastName })
      })
    },
  )
}
