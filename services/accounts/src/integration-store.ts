import type { Dialect } from '@sluice/contracts'
import type { Db } from './db/schema.ts'
import type { StoredIntegration } from './integration.ts'

export async function findIntegration(
  db: Db,
  projectId: string,
  dialect: Dialect,
): Promise<StoredIntegration | undefined> {
  const row = await db
    .selectFrom('integrations')
    .select(['integration_id', 'base_url', 'envelope', 'api_key_hint'])
    .where('project_id', '=', projectId)
    .where('dialect', '=', dialect)
    .executeTakeFirst()
  return (
    row && {
      integrationId: row.integration_id,
      baseUrl: row.base_url,
      envelope: row.envelope,
      apiKeyHint: row.api_key_hint,
    }
  )
}

export async function putIntegration(
  db: Db,
  projectId: string,
  dialect: Dialect,
  integration: StoredIntegration,
  at: Date,
): Promise<void> {
  const values = {
    base_url: integration.baseUrl,
    envelope: JSON.stringify(integration.envelope),
    api_key_hint: integration.apiKeyHint,
    updated_at: at,
  }
  await db
    .insertInto('integrations')
    .values({ integration_id: integration.integrationId, project_id: projectId, dialect, ...values })
    .onConflict(conflict => conflict.columns(['project_id', 'dialect']).doUpdateSet(values))
    .execute()
}

export async function deleteIntegration(db: Db, projectId: string, dialect: Dialect): Promise<boolean> {
  const result = await db
    .deleteFrom('integrations')
    .where('project_id', '=', projectId)
    .where('dialect', '=', dialect)
    .executeTakeFirst()
  return result.numDeletedRows === 1n
}
