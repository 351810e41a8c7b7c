import type { Dialect, Envelope } from '@sluice/contracts'
import { errorOf, type SecretBox } from '@sluice/runtime'
import { newId } from './api-key.ts'
import { errors } from './errors.ts'

/** A project's credential and address at a provider, as stored. */
export interface StoredIntegration {
  integrationId: string
  baseUrl: string | null
  envelope: Envelope
  apiKeyHint: string | null
}

/** What a PUT may change. `undefined`: not sent. */
export interface IntegrationChange {
  apiKey: string | null | undefined
  /** Checked and normalised. */
  baseUrl: string | null | undefined
}

/** A credential for providers that want none, so that ours never travels to a project's own address. */
const noKey = 'none'

/**
 * The integration after a PUT. A key that is not sent, or sent as it is shown, stays; an address that is not sent goes.
 * @returns undefined where nothing is left: the managed credential is used
 * @throws AppError 400 where a stored key would follow to another origin: who may change the address may not read the key
 */
export function applyIntegrationChange(
  box: SecretBox,
  projectId: string,
  stored: StoredIntegration | undefined,
  change: IntegrationChange,
): StoredIntegration | undefined {
  const kept = change.apiKey === undefined || isMasked(change.apiKey)
  const baseUrl = change.baseUrl ?? null
  const integrationId = stored?.integrationId ?? newId('int')
  const seal = (credential: string) =>
    box.seal(credential, { purpose: 'integration-credential', projectId, rowId: integrationId })

  if (kept && stored?.apiKeyHint != null) {
    if (originOf(stored.baseUrl) !== originOf(baseUrl))
      throw errorOf(errors.invalidRequest, {
        message:
          'A change of base_url to another host needs api_key again: the stored one is only sent where it was meant for.',
      })
    return { ...stored, baseUrl }
  }
  if (!kept && typeof change.apiKey === 'string')
    return { integrationId, baseUrl, envelope: seal(change.apiKey), apiKeyHint: hintOf(change.apiKey) }
  if (baseUrl === null) return undefined
  return { integrationId, baseUrl, envelope: seal(noKey), apiKeyHint: null }
}

/** How a stored key is shown: enough to recognise it, too little to use it. */
export function maskedKey(integration: StoredIntegration): string | null {
  return integration.apiKeyHint === null ? null : `****${integration.apiKeyHint}`
}

/** What the audit trail says of an integration. */
export function auditedIntegration(dialect: Dialect, integration: StoredIntegration | undefined) {
  return integration
    ? { dialect, base_url: integration.baseUrl, api_key: integration.apiKeyHint === null ? 'absent' : 'present' }
    : { dialect, unset: true }
}

function hintOf(apiKey: string): string {
  return apiKey.length >= 16 ? apiKey.slice(-4) : ''
}

function isMasked(apiKey: string | null | undefined): boolean {
  return typeof apiKey === 'string' && apiKey.startsWith('****')
}

function originOf(baseUrl: string | null): string | undefined {
  return baseUrl === null ? undefined : new URL(baseUrl).origin
}
