import { type ClickhousePool, isClickhouseUnavailable } from '@sluice/clickhouse'
import { errorOf } from '@sluice/runtime'
import { errors } from './errors.ts'

/** The pool with errors for callers: 503 where ClickHouse is away or busy. A wrong query stays what it is. */
export function queriesForRoutes(pool: ClickhousePool): ClickhousePool {
  return {
    query: async (sql, params) => {
      try {
        return await pool.query(sql, params)
      } catch (cause) {
        throw isClickhouseUnavailable(cause) ? errorOf(errors.storeUnavailable, { cause }) : cause
      }
    },
    close: () => pool.close(),
  }
}
