import { Type } from '@sluice/contracts'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { actorOf, ownLimits } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { changeApiKey, rotateApiKey } from '../change-api-key.ts'
import { createOnce } from '../create-once.ts'
import {
  ApiKeyResponse,
  ApiKeysPath,
  ChangedKeyBody,
  keyIdOf,
  readEnd,
  requireIpRanges,
  toApiKeyResponse,
} from './api-key-schemas.ts'
import { responses } from './route-schemas.ts'

const RotationBody = Type.Object(
  {
    /** How long the former secret goes on. Not sent: a day; 0: it ends now. */
    overlap_seconds: Type.Optional(Type.Integer({ minimum: 0, maximum: 30 * 86_400 })),
  },
  { additionalProperties: false },
)
const Rotated = Type.Object({ ...ApiKeyResponse.properties, value: Type.String() })

/** Changes a key, and gives it another secret. */
export function registerChangeApiKey(app: FastifyInstance, deps: AppDeps): void {
  app.patch<{ Params: { pid: string; id: string }; Body: Static<typeof ChangedKeyBody> }>(
    `${ApiKeysPath}/:id`,
    {
      config: { access: 'keys:write' },
      schema: { summary: 'Change a key', body: ChangedKeyBody, response: responses({ 200: ApiKeyResponse }) },
    },
    async request => {
      const { pid, id } = request.params
      const { expires_at, description, ...rest } = request.body
      requireIpRanges(rest.ip_ranges)
      const wanted = {
        ...rest,
        ...(description === undefined ? {} : { description: description ?? '' }),
        ...(expires_at === undefined ? {} : { expires_at: readEnd(expires_at, deps.now()) }),
      }
      const keyId = keyIdOf(id)
      return deps.changes.make(actorOf(request), async change =>
        toApiKeyResponse(await changeApiKey(change, pid, keyId, wanted, ownLimits(request))),
      )
    },
  )
  app.post<{ Params: { pid: string; id: string }; Body: Static<typeof RotationBody> }>(
    `${ApiKeysPath}/:id/rotate`,
    {
      config: { access: 'keys:write', idempotent: true },
      schema: {
        summary: 'Give a key another secret',
        example: { overlap_seconds: 86_400 },
        body: RotationBody,
        response: responses({ 200: Rotated }),
      },
    },
    async request => {
      const { overlap_seconds: overlapS = 86_400 } = request.body
      const rotation = { projectId: request.params.pid, keyId: keyIdOf(request.params.id), overlapS }
      return createOnce(deps, request, async change => {
        const { key, value } = await rotateApiKey(change, deps.box, rotation, ownLimits(request))
        return { ...toApiKeyResponse(key), value }
      })
    },
  )
}
