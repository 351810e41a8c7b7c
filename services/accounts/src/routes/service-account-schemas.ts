import { Id, lineOfText, linesOfText, Type } from '@sluice/contracts'
import type { Static } from 'typebox'
import type { ServiceAccount, ServiceAccountSettings } from '../service-account-store.ts'

export const ServiceAccountsPath = '/accounts/projects/:pid/service-accounts'
export interface ServiceAccountParams {
  pid: string
  /** Its id, or its name. */
  sid: string
}

/** What clients note beside: shown in clear, acted on by nobody. */
export const Notes = Type.Unsafe<Record<string, string>>({
  type: 'object',
  patternProperties: { '^[A-Za-z0-9_./-]{1,64}$': Type.String({ maxLength: 256, pattern: lineOfText }) },
  additionalProperties: false,
  maxProperties: 64,
})

/** A whole service account; what is not sent is not set. */
export const ServiceAccountBody = Type.Object(
  {
    /** Stands in paths, so that it is no id either. */
    name: Type.String({ pattern: '^(?!sa_)[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$' }),
    description: Type.Optional(Type.Union([Type.Null(), Type.String({ maxLength: 1024, pattern: linesOfText })])),
    team_id: Type.Optional(Type.Union([Type.Null(), Id])),
    metadata: Type.Optional(Type.Union([Type.Null(), Notes])),
    annotations: Type.Optional(Type.Union([Type.Null(), Notes])),
  },
  { additionalProperties: false },
)

export function toServiceAccountSettings(body: Static<typeof ServiceAccountBody>): ServiceAccountSettings {
  return {
    name: body.name,
    description: body.description ?? '',
    teamId: body.team_id ?? null,
    metadata: body.metadata ?? {},
    annotations: body.annotations ?? {},
  }
}

const NullableString = Type.Union([Type.String(), Type.Null()])

export const ServiceAccountResponse = Type.Object({
  id: Type.String(),
  project_id: Type.String(),
  /** The name, as some clients look for it. */
  key: Type.String(),
  name: Type.String(),
  description: Type.String(),
  team_id: NullableString,
  metadata: Type.Record(Type.String(), Type.String()),
  annotations: Type.Record(Type.String(), Type.String()),
  created_at: Type.String(),
  disabled_at: NullableString,
})

export function toServiceAccountResponse(account: ServiceAccount): Static<typeof ServiceAccountResponse> {
  const { service_account_id: id, name, created_at, disabled_at, ...rest } = account
  return {
    id,
    key: name,
    name,
    ...rest,
    created_at: created_at.toISOString(),
    disabled_at: disabled_at?.toISOString() ?? null,
  }
}
