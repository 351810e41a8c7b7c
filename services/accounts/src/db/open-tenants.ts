import { type Database, openDatabase } from '@sluice/postgres'
import { workingRoleOf } from './isolate-tenants.ts'
import { schemaName } from './migrations/index.ts'
import type { Tables } from './schema.ts'

/** Opens the database as the service works on it: under the role that owns nothing, told for whom with every use. */
export function openTenants(url: string, maxConnections?: number): Database<Tables> {
  const role = workingRoleOf(decodeURIComponent(new URL(url).username))
  return openDatabase<Tables>({
    url,
    schema: schemaName,
    tenants: { role },
    ...(maxConnections === undefined ? {} : { maxConnections }),
  })
}
