import type { ClickhousePool } from '@sluice/clickhouse'
import { currentScope, type TenantScope } from '@sluice/runtime'

/** The tables whose rows belong to a project, and the column that says to which account, where they have one. */
export const tenantTables = {
  usage_raw_v1: 'account_id',
  refused_calls_v1: 'account_id',
  usage_hourly_v2: undefined,
} as const satisfies Record<string, string | undefined>

/**
 * The pool as requests are answered from: the second wall between tenants. Queries name their project themselves; to each
 * ClickHouse is told besides, for each table, to read those rows alone that belong to whom the work is done for
 * (`withinScope`), wherever in the query the table stands. It is a setting of the statement, not a row policy: those need
 * settings that only a server's configuration can allow, and the embedded one has none.
 * @throws where nobody has said for whom
 */
export function tenantQueries(pool: ClickhousePool): ClickhousePool {
  return {
    query: async (sql, params) =>
      pool.query(`${sql} settings additional_table_filters = ${filtersOf(currentScope())}`, params),
    close: () => pool.close(),
  }
}

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const id = /^[A-Za-z0-9_.-]{1,128}$/

function filtersOf(scope: TenantScope | undefined): string {
  if (!scope || scope.system) throw new Error('a question to ClickHouse does not say for whom it is')
  const filters = Object.entries(tenantTables).map(([table, account]) => `'${table}': '${rowsOf(scope, account)}'`)
  return `{${filters.join(', ')}}`
}

/** A condition inside a text: its quotes are written twice. */
function rowsOf(
  { accountId, projectId }: { accountId: string; projectId?: string },
  account: string | undefined,
): string {
  if (projectId !== undefined) return `project_id = ''${checked(projectId, uuid)}''`
  return account === undefined ? '0' : `${account} = ''${checked(accountId, id)}''`
}

function checked(value: string, pattern: RegExp): string {
  if (!pattern.test(value)) throw new Error('an id of this form is none of a project or account')
  return value
}
