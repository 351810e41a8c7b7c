import type { Wallet } from '@sluice/leases'
import type { FastifyInstance } from 'fastify'

const mostShown = 1_000

/** Of the operator port: `GET /leases` says what this gateway has of hard budgets, `?budget=` of one. */
export function leaseRoutes(wallet: Pick<Wallet, 'describe' | 'openAsks'>): (app: FastifyInstance) => void {
  return app => {
    app.get<{ Querystring: { budget?: string } }>('/leases', async ({ query: { budget } }) => {
      const pools = [...wallet.describe()].filter(({ pool }) => budget === undefined || pool.budgetId === budget)
      return {
        open_asks: wallet.openAsks.length,
        pools: pools.slice(0, mostShown).map(({ pool, free, held, unresolved }) => ({
          budget_id: pool.budgetId,
          copy: pool.copy,
          window_start: new Date(pool.windowStartMs).toISOString(),
          window_end: pool.windowEndMs === undefined ? null : new Date(pool.windowEndMs).toISOString(),
          leases: pool.leases.length,
          /** In the budget's unit: nano-USD, or a count. */
          idle: free,
          held,
          unresolved,
          waiting_calls: pool.waiting,
        })),
        more: Math.max(0, pools.length - mostShown),
      }
    })
  }
}
