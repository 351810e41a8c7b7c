import { type Database, openTenants as openOf } from '@sluice/postgres'
import { schemaName } from './migrations/index.ts'
import type { Tables } from './schema.ts'

/** Opens the database as the service works on it: under the role that owns nothing, told for whom with every use. */
export function openTenants(url: string, maxConnections?: number): Database<Tables> {
  return openOf<Tables>({ url, schema: schemaName, ...(maxConnections === undefined ? {} : { maxConnections }) })
}
