import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import type { BackgroundResponse, LeaseReport } from '@sluice/contracts'
import { Pool } from 'undici'
import type { UsageDraft } from '../journal/journal.ts'
import type { OwedWord } from '../views/stored-responses-view.ts'
import { BackgroundPoller, type PollerDeps } from './background-poller.ts'

const fixture = new URL('../../../../packages/contracts/fixtures/document-background-response.json', import.meta.url)
const made = JSON.parse(readFileSync(fixture, 'utf8')) as BackgroundResponse

/** A response that holds 10,000 tokens of an exact budget, at a provider that answers with this status. */
async function begin(
  t: TestContext,
  status: number,
  budgets: object = {},
  ended = true,
  paid_by: BackgroundResponse['paid_by'] = 'managed',
) {
  const usage = { input_tokens: 1_000, output_tokens: 20, total_tokens: 1_020 }
  const told = { id: made.response_id, object: 'response', status: 'completed', model: 'm', output: [], usage }
  const paths: string[] = []
  let asked = 0
  const server = createServer(({ url = '' }, response) => {
    asked++
    paths.push(url)
    if (!ended) told.status = url.endsWith('/cancel') ? 'cancelled' : 'in_progress'
    response.statusCode = status
    response.end(JSON.stringify(status === 200 ? told : {}))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const pool = new Pool(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const lease = { lease_id: 'e-1-0', home: 0, budget_id: 'b', copy: '', window_start_ms: 0, unit: 'tokens' as const }
  const held = { holder: 'background_e', leases: [{ ...lease, granted: 10_000, exact: true as const }] }
  let value: BackgroundResponse | undefined = { ...made, paid_by, held, next_look_at_ms: 0 }
  const keep = (change: Partial<BackgroundResponse>): number => {
    if (value) value = { ...value, ...change }
    return 1
  }
  const written: UsageDraft[] = []
  const reports: LeaseReport[] = []
  const home = { isSilent: true }
  const clock = { nowMs: made.admitted_at_ms + 60 * 60_000 }
  const deps = {
    upstreams: { poolOf: () => pool },
    timeouts: { headersMs: 10_000, idleMs: 10_000 },
    stored: {
      underWay: () => [],
      running: {
        get: async () => value && { value, revision: 1 },
        update: async (_key: string, next: BackgroundResponse) => keep(next),
      },
      forgetSettled: async () => {
        value = undefined
      },
      keepWord: async (_key: string, word: OwedWord) => {
        keep(word)
      },
    },
    made: { add: () => {} },
    journal: { close: (draft: UsageDraft) => written.push(draft) && draft, synced: async () => {} },
    routes: { ofAccess: () => ({ basePath: '/v1', credentialHeaders: [] }) },
    projects: { find: () => ({ project_id: 'p' }) },
    keys: { findById: () => ({}) },
    budgets: { match: () => [], findCutoff: () => undefined, findStop: () => undefined, ...budgets },
    prices: { find: () => undefined, isPublished: () => false },
    homes: {
      report: async (_home: number, report: LeaseReport) => {
        if (home.isSilent) throw new Error('no answer')
        reports.push(report)
        return {}
      },
    },
    log: { warn: () => {} },
    minIntervalMs: 60_000,
    now: () => clock.nowMs,
  } as unknown as PollerDeps
  const poller = new BackgroundPoller(deps)
  t.after(async () => {
    await poller.close()
    await pool.close()
    server.close()
  })
  const look = () => poller.lookAfresh(made.identity.project_id, made.response_id)
  return { look, home, clock, written, reports, paths, asked: () => asked, isKept: () => value !== undefined }
}

for (const status of [200, 404])
  test(`a background response is settled once, whether the home of its money answers or not (${status})`, async t => {
    const response = await begin(t, status)
    for (let at = 0; at < 3; at++) {
      assert.equal(await response.look(), 'settled')
      response.clock.nowMs += 60_000
    }
    assert.deepEqual([response.written.length, response.asked(), response.isKept()], [1, 1, true])
    response.home.isSilent = false
    assert.equal(await response.look(), 'settled')
    assert.deepEqual([response.written.length, response.asked(), response.isKept()], [1, 1, false])
    const [
      {
        leases: [lease],
      } = { leases: [] },
    ] = response.reports
    const used = status === 200 ? 1_020 : made.estimated_input_tokens
    const rest = 10_000 - used
    assert.deepEqual(
      [lease?.done, lease?.settled_total, lease?.returned_total, lease?.unresolved.map(({ amount }) => amount)],
      status === 200 ? [true, used, rest, []] : [true, used, 0, [rest]],
    )
  })

const minute = { reason: 'budget_spent', unit: 'requests', window: 'minute' }
const outOfCredits = { findStop: () => ({ kind: 'balance_exhausted', reason: 'x' }) }
const matched = { match: () => [{ budget: { budget_id: 'b' }, copy: '' }] }

test('a response in the background ends when an admin stops its caller, and when its money is spent, where it is charged to it; a rate limit ends none', async t => {
  for (const [name, budgets, isEnded, paidBy] of [
    ['stopped', { findStop: () => ({ reason: 'x' }) }, true, 'own_credential'],
    ['out of credits', outOfCredits, true, 'managed'],
    ['out of credits, and paid by the project itself', outOfCredits, false, 'own_credential'],
    ['spent', { ...matched, findCutoff: () => ({ ...minute, unit: 'usd', window: 'day' }) }, true],
    ['too fast', { ...matched, findCutoff: () => minute }, false],
  ] as const) {
    const response = await begin(t, 200, budgets, false, paidBy)
    assert.equal(await response.look(), isEnded ? 'settled' : 'running', name)
    assert.equal(
      response.paths.some(path => path.endsWith('/cancel')),
      isEnded,
      name,
    )
    assert.equal(response.written[0]?.status, isEnded ? 'cut' : undefined, name)
  }
})
