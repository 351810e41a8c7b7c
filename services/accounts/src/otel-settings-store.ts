import type { Db } from './db/schema.ts'
import type { OtelSettings } from './otel-settings.ts'

const columns = [
  'project_id',
  'endpoint',
  'headers_envelope',
  'header_names',
  'sample_ratio',
  'filter',
  'updated_at',
] as const
const rowsOf = (db: Db) => db.selectFrom('otel_settings').select(columns)
type Row = Awaited<ReturnType<ReturnType<typeof rowsOf>['executeTakeFirstOrThrow']>>

function toSettings(row: Row): OtelSettings {
  return {
    endpoint: row.endpoint,
    headersEnvelope: row.headers_envelope,
    headerNames: row.header_names,
    sampleRatio: row.sample_ratio,
    filter: row.filter,
    updatedAt: row.updated_at,
  }
}

export async function findOtelSettings(db: Db, projectId: string): Promise<OtelSettings | undefined> {
  const row = await rowsOf(db).where('project_id', '=', projectId).executeTakeFirst()
  return row && toSettings(row)
}

/** Those of every project that makes calls, at most so many. */
export async function listOtelSettings(db: Db, limit: number): Promise<ReadonlyMap<string, OtelSettings>> {
  const rows = await rowsOf(db).where('sample_ratio', '>', 0).orderBy('project_id').limit(limit).execute()
  return new Map(rows.map(row => [row.project_id, toSettings(row)]))
}

export async function putOtelSettings(db: Db, projectId: string, settings: OtelSettings): Promise<void> {
  const { headersEnvelope } = settings
  const values = {
    endpoint: settings.endpoint,
    headers_envelope: headersEnvelope && JSON.stringify(headersEnvelope),
    header_names: [...settings.headerNames],
    sample_ratio: settings.sampleRatio,
    filter: settings.filter && JSON.stringify(settings.filter),
    updated_at: settings.updatedAt,
  }
  await db
    .insertInto('otel_settings')
    .values({ project_id: projectId, ...values })
    .onConflict(conflict => conflict.column('project_id').doUpdateSet(values))
    .execute()
}

export async function deleteOtelSettings(db: Db, projectId: string): Promise<void> {
  await db.deleteFrom('otel_settings').where('project_id', '=', projectId).execute()
}
