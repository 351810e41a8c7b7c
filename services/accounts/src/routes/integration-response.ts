import type { Dialect } from '@sluice/contracts'
import { Type } from '@sluice/contracts'
import type { Static } from 'typebox'
import { maskedKey, type StoredIntegration } from '../integration.ts'

const NullableString = Type.Union([Type.String(), Type.Null()])

/** An integration as it is shown: the key is masked. */
export const IntegrationResponse = Type.Object({ api_key: NullableString, base_url: NullableString })
export const IntegrationPath = '/accounts/projects/:pid/settings/:dialect(^(?:openai|anthropic)$)'
export type IntegrationParams = { pid: string; dialect: Dialect }

export function toIntegrationResponse(integration: StoredIntegration): Static<typeof IntegrationResponse> {
  return { api_key: maskedKey(integration), base_url: integration.baseUrl }
}
