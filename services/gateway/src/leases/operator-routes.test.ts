import assert from 'node:assert/strict'
import { test } from 'node:test'
import { leaseIdOf } from '@sluice/contracts'
import { Wallet } from '@sluice/leases'
import Fastify from 'fastify'
import { leaseRoutes } from './operator-routes.ts'

test('an operator sees what is idle, held and waited for of each hard budget', async () => {
  const wallet = new Wallet({ gatewayId: 'gw', epoch: 1 })
  const poolOf = (budgetId: string) =>
    wallet.pool({ budgetId, copy: 'mem_1', windowStartMs: 0, windowEndMs: 60_000, home: 0, isConcurrent: false })
  const pool = poolOf('bud_1')
  wallet.ask([{ pool, want: 30, need: 30 }], 1_000)
  for (const { message } of wallet.openAsks) {
    const grants = [{ lease_id: leaseIdOf('gw', 1, message.seq, 0), amount: 30, left: 70 }]
    wallet.answer({ seq: message.seq, term: 1, grants }, 1_000)
  }
  wallet.hold('att_1', [{ pool, want: 12, need: 12 }], 1_000)
  wallet.ask([{ pool: poolOf('bud_2'), want: 5, need: 5 }], 1_000)
  const app = Fastify()
  leaseRoutes(wallet)(app)
  const read = async (url: string) => (await app.inject({ url })).json()
  const shown = {
    budget_id: 'bud_1',
    copy: 'mem_1',
    window_start: '1970-01-01T00:00:00.000Z',
    window_end: '1970-01-01T00:01:00.000Z',
    leases: 1,
    idle: 18,
    held: 12,
    unresolved: 0,
    waiting_calls: 0,
  }
  assert.deepEqual(await read('/leases?budget=bud_1'), { open_asks: 1, pools: [shown], more: 0 })
  assert.equal((await read('/leases')).pools.length, 2)
})
