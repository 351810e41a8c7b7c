import { Type } from '@sluice/contracts'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { actorOf, revokerOf } from '../access.ts'
import { findApiKey, listKeyIdsOfOwner } from '../api-key-store.ts'
import type { AppDeps } from '../app.ts'
import { revokeApiKeysFor } from '../change-api-key.ts'
import { notFound } from '../errors.ts'
import { ApiKeysPath, keyIdOf } from './api-key-schemas.ts'
import { NoContent, responses } from './route-schemas.ts'

const ManyBody = Type.Object(
  {
    /** Of a member or a service account, whose keys and minted tokens they all are; or of a key. */
    msid: Type.String({ pattern: '^[A-Za-z0-9_-]{1,64}$' }),
  },
  { additionalProperties: false },
)

/** Revokes a key, or all of an owner, and with them every participant token signed with them. */
export function registerRevokeApiKey(app: FastifyInstance, deps: AppDeps): void {
  app.delete<{ Params: { pid: string; id: string } }>(
    `${ApiKeysPath}/:id`,
    {
      config: { access: 'keys:write' },
      schema: { summary: 'Revoke a key', response: responses({ 204: NoContent }) },
    },
    async (request, reply) => {
      const { pid, id } = request.params
      const keyId = keyIdOf(id)
      await deps.changes.make(actorOf(request), async change => {
        if (!(await findApiKey(change.trx, pid, keyId, new Date(change.nowMs)))) throw notFound()
        if ((await revokeApiKeysFor(change, pid, [keyId], revokerOf(request))).length === 0) throw notFound()
      })
      return reply.code(204).send()
    },
  )
  app.post<{ Params: { pid: string }; Body: Static<typeof ManyBody> }>(
    `${ApiKeysPath}::revoke`,
    {
      config: { access: 'keys:write' },
      schema: {
        summary: 'Revoke the keys of a member or a service account',
        body: ManyBody,
        response: responses({ 200: Type.Object({ revoked: Type.Array(Type.String()) }) }),
      },
    },
    async request => {
      const { pid } = request.params
      const { msid } = request.body
      return deps.changes.make(actorOf(request), async change => ({
        revoked: await revokeApiKeysFor(
          change,
          pid,
          await listKeyIdsOfOwner(change.trx, pid, msid),
          revokerOf(request),
        ),
      }))
    },
  )
}
