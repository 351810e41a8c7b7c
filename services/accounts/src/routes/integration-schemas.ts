import { CredentialSource, Dialect, Id, lineOfText, Type } from '@sluice/contracts'
import type { Static } from 'typebox'
import type { IntegrationRequest, StoredIntegration } from '../integration.ts'
import { maskedHeaders, maskedKey } from '../integration.ts'
import { DisplayName } from './route-schemas.ts'

const NullableString = Type.Union([Type.String(), Type.Null()])

/** Printable ASCII, since it becomes a header. Not sent: the stored one stays. null: removed. */
export const ApiKey = Type.Union([Type.Null(), Type.String({ pattern: '^[\\x21-\\x7e]{1,4096}$' })])
export const BaseUrl = Type.Union([Type.Null(), Type.String({ minLength: 1, maxLength: 2048 })])

/** An integration as older clients see it: the key is masked. */
export const IntegrationSettingsResponse = Type.Object({ api_key: NullableString, base_url: NullableString })
export const IntegrationSettingsPath = '/accounts/projects/:pid/settings/:dialect(^(?:openai|anthropic)$)'
export type IntegrationParams = { pid: string; dialect: Dialect }

export function toIntegrationSettings(integration: StoredIntegration): Static<typeof IntegrationSettingsResponse> {
  return { api_key: maskedKey(integration), base_url: integration.baseUrl }
}

export const IntegrationsPath = '/accounts/projects/:pid/integrations'

/** What hops, providers or this proxy set themselves, or what has a field of its own. */
const reservedHeaders =
  'accept-encoding|authorization|connection|content-length|content-type|cookie|expect|host|keep-alive|openai-organization|openai-project|te|trailer|transfer-encoding|upgrade|via|x-api-key'
const HeaderName = `^(?!(?:${reservedHeaders})$)(?!(?:proxy|sec|sluice|meshagent|x-forwarded|x-meshagent)-)[a-z0-9!#$%&'*+.^_\`|~-]{1,64}$`
const HeaderValue = Type.String({ pattern: '^[\\x21-\\x7e](?:[\\x20-\\x7e]{0,1022}[\\x21-\\x7e])?$' })
const Word = Type.Union([Type.Null(), Type.String({ pattern: '^[A-Za-z0-9_.-]{1,128}$' })])

/** Where a provider is and what proves us to it; secrets that are not sent, or sent as they are shown, stay. */
export const ProviderAccess = {
  base_url: Type.Optional(BaseUrl),
  api_key: Type.Optional(ApiKey),
  /** Of operators alone: where the gateways have the credential. */
  api_key_from: Type.Optional(Type.Union([Type.Null(), CredentialSource])),
  headers: Type.Optional(
    Type.Record(Type.String({ pattern: HeaderName }), HeaderValue, {
      maxProperties: 16,
      additionalProperties: false,
    }),
  ),
  organization: Type.Optional(Word),
  project: Type.Optional(Word),
}
const ProviderAccessBody = Type.Object(ProviderAccess)

/** A whole integration. */
export const IntegrationBody = Type.Object(
  {
    name: DisplayName,
    provider: Dialect,
    ...ProviderAccess,
    team_id: Type.Optional(Type.Union([Type.Null(), Id])),
    standby: Type.Optional(Type.Boolean()),
  },
  { additionalProperties: false },
)

/** What is shown of it, secrets masked. */
export const ProviderAccessResponse = {
  id: Type.String(),
  base_url: NullableString,
  api_key: NullableString,
  api_key_from: Type.Union([Type.Null(), CredentialSource]),
  headers: Type.Record(Type.String(), Type.String()),
  organization: NullableString,
  project: NullableString,
  created_at: Type.String(),
  updated_at: Type.String(),
}

export const IntegrationResponse = Type.Object({
  ...ProviderAccessResponse,
  name: Type.String({ pattern: lineOfText }),
  provider: Dialect,
  team_id: NullableString,
  standby: Type.Boolean(),
})

/** @param baseUrl checked and normalised */
export function accessOf(body: Static<typeof ProviderAccessBody>, baseUrl: string | null) {
  return {
    baseUrl,
    apiKey: body.api_key,
    credentialFrom: body.api_key_from ?? null,
    headers: body.headers ?? {},
    organization: body.organization ?? null,
    providerProject: body.project ?? null,
  }
}

/** @param baseUrl checked and normalised */
export function toIntegrationRequest(body: Static<typeof IntegrationBody>, baseUrl: string | null): IntegrationRequest {
  return {
    name: body.name,
    teamId: body.team_id ?? null,
    standby: body.standby ?? false,
    ...accessOf(body, baseUrl),
  }
}

export function toAccessResponse(integration: StoredIntegration) {
  return {
    id: integration.integrationId,
    provider: integration.dialect,
    base_url: integration.baseUrl,
    api_key: maskedKey(integration),
    api_key_from: integration.credentialFrom,
    headers: maskedHeaders(integration),
    organization: integration.organization,
    project: integration.providerProject,
    created_at: integration.createdAt.toISOString(),
    updated_at: integration.updatedAt.toISOString(),
  }
}

export function toIntegrationResponse(integration: StoredIntegration): Static<typeof IntegrationResponse> {
  const { name, teamId: team_id, standby } = integration
  return { ...toAccessResponse(integration), name, team_id, standby }
}
