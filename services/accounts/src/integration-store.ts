import type { Dialect, Integration } from '@sluice/contracts'
import type { Db } from './db/schema.ts'
import type { StoredIntegration } from './integration.ts'

const columns = [
  'integration_id',
  'dialect',
  'name',
  'team_id',
  'standby',
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

const rowsOf = (db: Db, projectId: string) =>
  db.selectFrom('integrations').select(columns).where('project_id', '=', projectId)

type Row = Awaited<ReturnType<ReturnType<typeof rowsOf>['executeTakeFirstOrThrow']>>

function toStored(row: Row): StoredIntegration {
  return {
    integrationId: row.integration_id,
    dialect: row.dialect,
    name: row.name,
    teamId: row.team_id,
    standby: row.standby,
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

/** The one that calls go by which no team with its own pays. */
export async function findProjectIntegration(
  db: Db,
  projectId: string,
  dialect: Dialect,
): Promise<StoredIntegration | undefined> {
  const row = await rowsOf(db, projectId)
    .where('dialect', '=', dialect)
    .where('team_id', 'is', null)
    .where('standby', '=', false)
    .executeTakeFirst()
  return row && toStored(row)
}

export async function findIntegration(
  db: Db,
  projectId: string,
  integrationId: string,
): Promise<StoredIntegration | undefined> {
  const row = await rowsOf(db, projectId).where('integration_id', '=', integrationId).executeTakeFirst()
  return row && toStored(row)
}

/** In the order of their ids, which is that of their making. */
export async function listIntegrations(
  db: Db,
  projectId: string,
  page: { after: string | undefined; limit: number },
): Promise<StoredIntegration[]> {
  const rows = await rowsOf(db, projectId)
    .where('integration_id', '>', page.after ?? '')
    .orderBy('integration_id')
    .limit(page.limit)
    .execute()
  return rows.map(toStored)
}

/** Another of the project that has the name, or is in use for the same calls. */
export async function findIntegrationInTheWay(
  db: Db,
  projectId: string,
  { integrationId, dialect, name, teamId, standby }: StoredIntegration,
): Promise<'name' | 'use' | undefined> {
  const others = await rowsOf(db, projectId)
    .where('dialect', '=', dialect)
    .where('integration_id', '!=', integrationId)
    .execute()
  if (others.some(other => other.name.toLowerCase() === name.toLowerCase())) return 'name'
  return !standby && others.some(other => !other.standby && other.team_id === teamId) ? 'use' : undefined
}

export async function countIntegrations(db: Db, projectId: string): Promise<number> {
  const { count } = await db
    .selectFrom('integrations')
    .select(({ fn }) => fn.countAll<string>().as('count'))
    .where('project_id', '=', projectId)
    .executeTakeFirstOrThrow()
  return Number(count)
}

/** The way to a provider, as both kinds of integrations keep it. */
export function accessColumns(integration: StoredIntegration) {
  const { credentialFrom, headersEnvelope, envelope } = integration
  return {
    base_url: integration.baseUrl,
    envelope: envelope && JSON.stringify(envelope),
    api_key_hint: integration.apiKeyHint,
    credential_from: credentialFrom && JSON.stringify(credentialFrom),
    headers_envelope: headersEnvelope && JSON.stringify(headersEnvelope),
    header_names: [...integration.headerNames],
    organization: integration.organization,
    provider_project: integration.providerProject,
    updated_at: integration.updatedAt,
  }
}

export async function putIntegration(db: Db, projectId: string, integration: StoredIntegration): Promise<void> {
  const values = {
    name: integration.name,
    team_id: integration.teamId,
    standby: integration.standby,
    ...accessColumns(integration),
  }
  const { integrationId: integration_id, dialect, createdAt: created_at } = integration
  await db
    .insertInto('integrations')
    .values({ integration_id, project_id: projectId, dialect, created_at, ...values })
    .onConflict(conflict => conflict.column('integration_id').doUpdateSet(values))
    .execute()
}

export async function deleteIntegration(db: Db, projectId: string, integrationId: string): Promise<void> {
  await db
    .deleteFrom('integrations')
    .where('project_id', '=', projectId)
    .where('integration_id', '=', integrationId)
    .execute()
}

/** The integrations of a project as gateways see them. */
export async function readIntegrationDocuments(db: Db, projectId: string): Promise<Integration[]> {
  const rows = await rowsOf(db, projectId).orderBy('integration_id').execute()
  return rows.map(row => ({
    integration_id: row.integration_id,
    dialect: row.dialect,
    name: row.name,
    ...(row.team_id === null ? {} : { team_id: row.team_id }),
    ...(row.standby ? { standby: true } : {}),
    ...(row.base_url === null ? {} : { base_url: row.base_url }),
    ...(row.envelope === null ? {} : { credential: row.envelope }),
    ...(row.credential_from === null ? {} : { credential_from: row.credential_from }),
    ...(row.headers_envelope === null ? {} : { headers: row.headers_envelope }),
    ...(row.organization === null ? {} : { organization: row.organization }),
    ...(row.provider_project === null ? {} : { provider_project: row.provider_project }),
  }))
}
