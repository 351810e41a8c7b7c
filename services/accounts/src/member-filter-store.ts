import { type Expression, type SqlBool, sql } from 'kysely'

/** Which members a list holds. */
export interface MemberFilter {
  /** Part of an e-mail address or a name. */
  text: string | undefined
}

/** Of a query that has joined members. */
export function matchesText(text: string): Expression<SqlBool> {
  const pattern = `%${text.toLowerCase().replaceAll(/[\\%_]/g, match => `\\${match}`)}%`
  return sql<SqlBool>`lower(concat_ws(' ', members.email, members.first_name, members.last_name)) like ${pattern}`
}
