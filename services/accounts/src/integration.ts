import type { CredentialSource, Dialect, Envelope } from '@sluice/contracts'
import { errorOf, type SecretBox } from '@sluice/runtime'
import { newId } from './api-key.ts'
import { errors } from './errors.ts'

/** A project's credential and address at a provider, as stored. */
export interface StoredIntegration {
  integrationId: string
  dialect: Dialect
  name: string
  /** Whose calls go by it; null: those of every team that has none of its own. */
  teamId: string | null
  standby: boolean
  baseUrl: string | null
  /** The credential; null: `credentialFrom` says where it stands. */
  envelope: Envelope | null
  apiKeyHint: string | null
  credentialFrom: CredentialSource | null
  headersEnvelope: Envelope | null
  headerNames: readonly string[]
  organization: string | null
  providerProject: string | null
  createdAt: Date
  updatedAt: Date
}

/** What an integration is to be: all of it but what is secret and not sent. */
export interface IntegrationRequest {
  name: string
  teamId: string | null
  standby: boolean
  /** Checked and normalised. */
  baseUrl: string | null
  /** Not sent, or sent as it is shown: the stored one stays. null: there is none. */
  apiKey: string | null | undefined
  credentialFrom: CredentialSource | null
  /** By name in small letters; a value as it is shown stays. */
  headers: Readonly<Record<string, string>>
  organization: string | null
  providerProject: string | null
}

/** A credential for providers that want none, so that ours never travels to a project's own address. */
const noKey = 'none'
/** How a secret is shown of which nothing is told. */
const masked = '****'

/**
 * An integration after a request. Secrets that are kept never follow to another host: who may change the address may not read
 * them.
 * @returns undefined where nothing is left of it: the managed credential is used
 * @throws AppError 400
 */
export function applyIntegration(
  box: SecretBox,
  projectId: string,
  dialect: Dialect,
  stored: StoredIntegration | undefined,
  wanted: IntegrationRequest,
  at: Date,
): StoredIntegration | undefined {
  const integrationId = stored?.integrationId ?? newId('int')
  const binding = { projectId, rowId: integrationId }
  const { headers, apiKey, credentialFrom, ...plain } = wanted
  const keptHeaders = Object.keys(headers).filter(name => isMasked(headers[name]))
  const keepsKey = (apiKey === undefined || isMasked(apiKey)) && stored?.apiKeyHint != null && credentialFrom === null
  const movesSecrets = keepsKey || keptHeaders.length > 0
  if (movesSecrets && originOf(stored?.baseUrl ?? null) !== originOf(wanted.baseUrl))
    throw errorOf(errors.invalidRequest, {
      message:
        'A change of base_url to another host needs api_key and headers again: stored ones are only sent where they were meant for.',
    })
  if (credentialFrom && typeof apiKey === 'string' && !isMasked(apiKey))
    throw errorOf(errors.invalidRequest, { message: 'Send api_key or api_key_from, not both.' })

  const credential = keepsKey
    ? { envelope: stored?.envelope ?? null, apiKeyHint: stored?.apiKeyHint ?? null }
    : sealKey(box, binding, credentialFrom, isMasked(apiKey) ? undefined : apiKey)
  if (credential.apiKeyHint === null && credentialFrom === null && wanted.baseUrl === null) return undefined
  return {
    ...plain,
    ...credential,
    integrationId,
    dialect,
    credentialFrom,
    ...sealHeaders(box, binding, stored, headers),
    createdAt: stored?.createdAt ?? at,
    updatedAt: at,
  }
}

interface Binding {
  projectId: string
  rowId: string
}

function sealKey(
  box: SecretBox,
  binding: Binding,
  credentialFrom: CredentialSource | null,
  apiKey: string | null | undefined,
): { envelope: Envelope | null; apiKeyHint: string | null } {
  if (credentialFrom) return { envelope: null, apiKeyHint: null }
  const seal = (credential: string) => box.seal(credential, { ...binding, purpose: 'integration-credential' })
  return typeof apiKey === 'string'
    ? { envelope: seal(apiKey), apiKeyHint: hintOf(apiKey) }
    : { envelope: seal(noKey), apiKeyHint: null }
}

/** @throws AppError 400 for a value that is to stay and is not there */
function sealHeaders(
  box: SecretBox,
  binding: Binding,
  stored: StoredIntegration | undefined,
  headers: Readonly<Record<string, string>>,
): { headersEnvelope: Envelope | null; headerNames: readonly string[] } {
  const names = Object.keys(headers).sort()
  if (names.length === 0) return { headersEnvelope: null, headerNames: [] }
  const sealing = { ...binding, purpose: 'integration-headers' } as const
  const known: Record<string, string> = stored?.headersEnvelope
    ? JSON.parse(box.open(stored.headersEnvelope, sealing))
    : {}
  const values = names.map(name => {
    const value = isMasked(headers[name]) ? known[name] : headers[name]
    if (value === undefined)
      throw errorOf(errors.invalidRequest, { message: `Header "${name}" has no value to keep. Send one.` })
    return [name, value]
  })
  return { headersEnvelope: box.seal(JSON.stringify(Object.fromEntries(values)), sealing), headerNames: names }
}

/** How a stored key is shown: enough to recognise it, too little to use it. */
export function maskedKey({ apiKeyHint }: Pick<StoredIntegration, 'apiKeyHint'>): string | null {
  return apiKeyHint === null ? null : masked + apiKeyHint
}

/** How stored headers are shown. */
export function maskedHeaders({ headerNames }: StoredIntegration): Record<string, string> {
  return Object.fromEntries(headerNames.map(name => [name, masked]))
}

/** What the audit trail says of an integration. */
export function auditedIntegration(integration: StoredIntegration | undefined) {
  if (!integration) return undefined
  const { dialect, name, teamId, standby, baseUrl, apiKeyHint, credentialFrom } = integration
  return {
    dialect,
    name,
    team_id: teamId,
    standby,
    base_url: baseUrl,
    api_key: credentialFrom ?? (apiKeyHint === null ? 'absent' : 'present'),
    headers: integration.headerNames,
    organization: integration.organization,
    project: integration.providerProject,
  }
}

function hintOf(apiKey: string): string {
  return apiKey.length >= 16 ? apiKey.slice(-4) : ''
}

function isMasked(secret: string | null | undefined): boolean {
  return typeof secret === 'string' && secret.startsWith(masked)
}

function originOf(baseUrl: string | null): string | undefined {
  return baseUrl === null ? undefined : new URL(baseUrl).origin
}
