import { type Expression, type RawBuilder, sql } from 'kysely'
import pg from 'pg'

const begin = '/* prepared */ '

/**
 * Stands at the beginning of a statement that each connection is to prepare once: for those that are made all the time and
 * whose plan takes longer than what they read. Their text is always the same, and so are their columns, which are named one by
 * one: with `*` a migration would change them beneath a connection that has prepared it. Its plan is made without the values: not
 * for arrays of any length to be joined with tables that grow, which would be read in full.
 */
export const prepared = sql.raw(begin)

/** A query of Kysely's builder, marked so. */
export const prepare = <Row>(query: Expression<Row>): RawBuilder<Row> => sql<Row>`${prepared}${query}`

/**
 * Ends rows that come from arrays in what is {@link prepared}, where they are looked up by a whole key: none is left out. Without
 * their values PostgreSQL reckons with ten rows of `unnest`, and would rather make a plan each time for the one or two that there
 * are; of a limit that it does not know, it reckons with a tenth.
 */
export const few = (rows: readonly unknown[]): RawBuilder<unknown> => sql`limit ${rows.length}`

/** By their text. */
const names = new Map<string, string>()

/** A connection that prepares what is marked so. */
export class PreparingClient extends pg.Client {
  // Of the ways in which a query may be given, one is meant: all others are passed on as they are.
  override query: typeof pg.Client.prototype.query = ((...given: unknown[]): unknown => {
    const send = super.query as (...sent: unknown[]) => unknown
    const [text, values] = given
    if (typeof text !== 'string' || !text.startsWith(begin)) return send.apply(this, given)
    return send.call(this, { name: nameOf(text), text, values })
  }) as typeof pg.Client.prototype.query
}

function nameOf(text: string): string {
  const known = names.get(text)
  if (known !== undefined) return known
  const name = `sluice_${names.size + 1}`
  names.set(text, name)
  return name
}

const mostPrepared = 32

/**
 * {@link prepared} where so few rows are named, else as it is: what names many is planned for them each time, which costs little of
 * what it does. A plan that was made while tables were empty would read all of them for each row, until they are analysed.
 */
export const preparedForFew = (rows: number): RawBuilder<unknown> => (rows <= mostPrepared ? prepared : sql``)
