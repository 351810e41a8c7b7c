import type { Dialect, ManagedIntegration } from '@sluice/contracts'
import { sql } from 'kysely'
import type { Db } from './db/schema.ts'
import type { StoredIntegration } from './integration.ts'
import { accessColumns } from './integration-store.ts'

const columns = [
  'dialect',
  'integration_id',
  'version',
  'base_url',
  'envelope',
  'api_key_hint',
  'credential_from',
  'headers_envelope',
  'header_names',
  'organization',
  'provider_project',
  'created_at',
  'updated_at',
] as const

const rowsOf = (db: Db) => db.selectFrom('managed_integrations').select(columns)
type Row = Awaited<ReturnType<ReturnType<typeof rowsOf>['executeTakeFirstOrThrow']>>

/** One of the operator's, with what its document says of how often it has changed. */
export interface StoredManagedIntegration extends StoredIntegration {
  version: number
}

function toStored(row: Row): StoredManagedIntegration {
  return {
    integrationId: row.integration_id,
    version: row.version,
    dialect: row.dialect,
    name: 'managed',
    teamId: null,
    standby: false,
    baseUrl: row.base_url,
    envelope: row.envelope,
    apiKeyHint: row.api_key_hint,
    credentialFrom: row.credential_from,
    headersEnvelope: row.headers_envelope,
    headerNames: row.header_names,
    organization: row.organization,
    providerProject: row.provider_project,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  }
}

export async function listManagedIntegrations(db: Db): Promise<StoredManagedIntegration[]> {
  return (await rowsOf(db).orderBy('dialect').execute()).map(toStored)
}

export async function findManagedIntegration(db: Db, dialect: Dialect): Promise<StoredManagedIntegration | undefined> {
  const row = await rowsOf(db).where('dialect', '=', dialect).executeTakeFirst()
  return row && toStored(row)
}

/** One change at a time, until the transaction ends: the outbox then holds the documents in the order of their versions. */
export async function lockManagedIntegrations(db: Db): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtext('sluice managed integrations'))`.execute(db)
}

export async function putManagedIntegration(db: Db, integration: StoredManagedIntegration): Promise<void> {
  const values = { version: integration.version, ...accessColumns(integration) }
  const { integrationId: integration_id, dialect, createdAt: created_at } = integration
  await db
    .insertInto('managed_integrations')
    .values({ integration_id, dialect, created_at, ...values })
    .onConflict(conflict => conflict.column('dialect').doUpdateSet(values))
    .execute()
}

export async function deleteManagedIntegration(db: Db, dialect: Dialect): Promise<void> {
  await db.deleteFrom('managed_integrations').where('dialect', '=', dialect).execute()
}

/** What gateways see of it. */
export function toManagedDocument(integration: StoredManagedIntegration): ManagedIntegration {
  const { version, baseUrl, envelope, credentialFrom, headersEnvelope, organization, providerProject } = integration
  return {
    integration_id: integration.integrationId,
    dialect: integration.dialect,
    version,
    ...(baseUrl === null ? {} : { base_url: baseUrl }),
    ...(envelope === null ? {} : { credential: envelope }),
    ...(credentialFrom === null ? {} : { credential_from: credentialFrom }),
    ...(headersEnvelope === null ? {} : { headers: headersEnvelope }),
    ...(organization === null ? {} : { organization }),
    ...(providerProject === null ? {} : { provider_project: providerProject }),
  }
}
