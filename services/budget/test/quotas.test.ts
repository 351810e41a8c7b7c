import assert from 'node:assert/strict'
import { test } from 'node:test'
import { homeOfBudget, windowAt } from '@sluice/leases'
import { eventually } from '@sluice/test-env'
import { rebuildWindows } from '../src/window-rebuild-store.ts'
import { fileScope, openService } from './budget-service.ts'
import { leaseClient } from './lease-client.ts'

const env = await openService(fileScope)
const usd = 1e9

async function readyProject() {
  const project = await env.newProject()
  await eventually(async () => (await project.call('GET', `${project.projectId}/budgets`)).status !== 401)
  return project
}

test('somebody’s quota of all begins anew: nothing of it is spent, nothing stands in its place, and it is spent to its limit again', async () => {
  const { projectId, call } = await readyProject()
  const path = `${projectId}/llm-quotas`
  await call('PUT', `${path}/defaults`, { user_monthly_quota: 1 })
  const { body: list } = await call('GET', `${projectId}/budgets`)
  const [budget] = list.budgets
  const month = windowAt('month', 'UTC', Date.now())
  const gateway = leaseClient(
    env.gateway,
    'gw_quota',
    1,
    homeOfBudget({ budget_id: budget.id, scope: { project: projectId } }),
  )
  const pool = { budgetId: budget.id, copy: 'mem_1', windowStartMs: month.startMs }

  const [held] = (await gateway.ask({ ...pool, want: 0.9 * usd })).grants
  assert.equal(held?.amount, 0.9 * usd)
  const settled = {
    copy: 'mem_1',
    window_start_ms: month.startMs,
    granted: 0.9 * usd,
    settled_total: 0.9 * usd,
    done: true,
  }
  await gateway.report(gateway.totals(1, budget.id, settled))
  await env.send(projectId, [{ identity: { member_id: 'mem_1' }, cost_nano_usd: 0.1 * usd }])
  const state = async (subject: string) => (await call('GET', `${path}/users/${subject}`)).body
  await eventually(async () => (await state('mem_1')).spent === 1)
  assert.equal((await gateway.ask({ ...pool, want: 0.4 * usd })).refusal?.reason, 'spent')
  const cutoff = await eventually(() => env.pushes.find(({ budget_id, active }) => budget_id === budget.id && active))
  assert.equal(cutoff.copy, 'mem_1')

  const fresh = await call('POST', `${path}/users/mem_1:reset`)
  const { spent, balance, monthly_quota, monthly_quota_override } = fresh.body
  assert.deepEqual([spent, balance, monthly_quota, monthly_quota_override], [0, 1, 1, null])
  await eventually(() => env.pushes.some(({ budget_id, active }) => budget_id === budget.id && !active))
  assert.equal((await call('GET', `${projectId}/budgets`)).body.budgets.length, 1)
  const [told] = await env.toldTrail(budget.id, 'budget.begun-anew')
  assert.deepEqual(told?.after, { copy: 'mem_1', forgiven: usd })

  // A rebuild brings nothing back.
  const parent = { accountId: 'acct_test', projectId }
  const rebuilt = await rebuildWindows(env.db, parent, budget.id, windowAt, Date.now(), 0)
  assert.deepEqual([rebuilt.corrected, (await state('mem_1')).spent], [0, 0])

  assert.equal((await gateway.ask({ ...pool, want: usd })).grants[0]?.amount, usd)
  assert.equal((await gateway.ask({ ...pool, want: 1 })).refusal?.reason, 'held')
  await env.send(projectId, [{ identity: { member_id: 'mem_1' }, cost_nano_usd: 0.2 * usd }])
  await eventually(async () => (await state('mem_1')).spent === 0.2)
})

test('a quota of somebody’s own that begins anew stays theirs', async () => {
  const { projectId, call } = await readyProject()
  const path = `${projectId}/llm-quotas/service-accounts/sa_1`
  assert.equal((await call('POST', `${path}:reset`)).status, 404)
  await call('PUT', path, { monthly_quota: 5 })
  const { body: before } = await call('GET', `${projectId}/budgets`)
  await env.send(projectId, [{ identity: { service_account_id: 'sa_1' }, cost_nano_usd: 2 * usd }])
  await eventually(async () => (await call('GET', path)).body.spent === 2)
  const { body: fresh } = await call('POST', `${path}:reset`)
  assert.deepEqual([fresh.spent, fresh.balance, fresh.monthly_quota_override], [0, 5, 5])
  const { body: after } = await call('GET', `${projectId}/budgets`)
  assert.deepEqual([after.budgets[0].id, after.budgets.length], [before.budgets[0].id, 1])
})
