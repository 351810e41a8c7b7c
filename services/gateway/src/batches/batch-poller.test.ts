import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import type { BatchJob, HandedMoney, LeaseReport } from '@sluice/contracts'
import { Pool } from 'undici'
import type { UsageDraft } from '../journal/journal.ts'
import { BatchPoller, type PollerDeps } from './batch-poller.ts'

const fixture = new URL('../../../../packages/contracts/fixtures/document-batch-job.json', import.meta.url)
const made = JSON.parse(readFileSync(fixture, 'utf8')) as BatchJob
const dayMs = 24 * 60 * 60 * 1_000

/** A batch of three requests at a provider that gives these lines as its results, and holds 10,000 tokens of a budget. */
async function begin(t: TestContext, lines: readonly string[], isExact: boolean) {
  const provider = { lines, status: 200 }
  const server = createServer((request, response) => {
    response.statusCode = provider.status
    if (request.url?.includes('/files/')) return response.end(provider.lines.join('\n'))
    const counts = { total: 3, completed: 3, failed: 0 }
    const standing = {
      status: 'completed',
      created_at: 1,
      completed_at: 2,
      output_file_id: 'file-1',
      request_counts: counts,
    }
    response.end(JSON.stringify({ id: made.batch_id, object: 'batch', ...standing }))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const pool = new Pool(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const { settlement: _, creator, ...rest } = made
  assert.ok(creator)
  const lease = { lease_id: 'e-1-0', home: 0, budget_id: 'b', copy: '', window_start_ms: 0, unit: 'tokens' as const }
  const held: HandedMoney = {
    holder: 'batch_e',
    leases: [{ ...lease, granted: 10_000, ...(isExact && { exact: true as const }) }],
  }
  const clock = { nowMs: creator.admitted_at_ms + 60_000 }
  let record = {
    revision: 1,
    value: {
      ...rest,
      state: 'running',
      dialect: 'openai',
      created_at_ms: creator.admitted_at_ms,
      next_look_at_ms: 0,
      creator: { ...creator, target_endpoint: '/v1/chat/completions', input_file_id: 'f' },
      held,
    } as BatchJob,
  }
  const records = {
    get: async () => record,
    update: async (_key: string, value: BatchJob, revision: number) => {
      if (revision !== record.revision) return undefined
      record = { value, revision: revision + 1 }
      return record.revision
    },
  }
  const written: UsageDraft[] = []
  const reports: LeaseReport[] = []
  const route = { basePath: '/v1', credentialHeaders: [] }
  const deps = {
    upstreams: { poolOf: () => pool },
    timeouts: { headersMs: 10_000, idleMs: 10_000 },
    prices: { find: () => undefined, isPublished: () => false },
    journal: {
      close: (draft: UsageDraft) => written.push(draft) && draft,
      state: 'ok',
      unpublishedEvents: () => 0,
      synced: async () => {},
    },
    onResult: () => {},
    jobs: { records, all: () => [] },
    routes: { managed: () => route, ofAccess: () => route },
    projects: { find: () => ({ project_id: 'p' }) },
    gatewayId: 'gw',
    homes: {
      report: async (_home: number, report: LeaseReport) => {
        reports.push(report)
        return {}
      },
    },
    events: { lookFailed: () => {}, batchLost: () => {}, batchStuck: () => {}, batchSettled: () => {} },
    log: { warn: () => {} },
    minIntervalMs: 60_000,
    now: () => clock.nowMs,
  } as unknown as PollerDeps
  const poller = new BatchPoller(deps)
  t.after(async () => {
    await poller.close()
    await pool.close()
    server.close()
  })
  return {
    provider,
    written,
    clock,
    look: () => poller.look({ key: 'k', job: record.value }),
    state: () => record.value.state,
    /** Of the last word on its lease. */
    told: () => {
      const lease = reports.at(-1)?.leases[0]
      const unresolved = lease?.unresolved.map(({ attempt_id, amount }) => [attempt_id, amount])
      return [lease?.done, lease?.settled_total, lease?.returned_total, unresolved]
    },
    eventId: creator.event_id,
  }
}

const result = (custom_id: string) => {
  const usage = { prompt_tokens: 1_000, completion_tokens: 20, total_tokens: 1_020 }
  const body = { id: 'x', object: 'chat.completion', model: 'm', choices: [{ message: { content: 'x' } }], usage }
  return JSON.stringify({ custom_id, response: { status_code: 200, body }, error: null })
}

for (const isExact of [true, false]) {
  const hold = isExact ? 'an exact' : 'a paced'
  const rest = (settled: number, eventId: string) =>
    isExact ? [true, settled, 0, [[eventId, 10_000 - settled]]] : [true, settled, 10_000 - settled, []]

  test(`what results of a batch have cost stays spent in ${hold} budget, also where it is lost later`, async t => {
    const batch = await begin(t, [result('a'), result('b')], isExact)
    await batch.look()
    // No budget counts these events by themselves.
    assert.deepEqual(
      batch.written.map(({ held }) => held.map(({ budget_id }) => budget_id)),
      [['b'], ['b']],
    )
    // A later try comes less far.
    batch.clock.nowMs += dayMs
    batch.provider.lines = [result('a')]
    await batch.look()
    batch.provider.status = 404
    batch.clock.nowMs += 31 * dayMs
    await batch.look()
    await batch.look()
    assert.equal(batch.state(), 'lost')
    assert.deepEqual(batch.told(), rest(2_040, batch.eventId))
  })

  test(`a batch whose results stay incomplete is lost, and ${hold} budget keeps what they have cost`, async t => {
    const batch = await begin(t, [result('a'), result('b')], isExact)
    batch.clock.nowMs += 31 * dayMs
    await batch.look()
    await batch.look()
    assert.equal(batch.state(), 'lost')
    assert.deepEqual(batch.told(), rest(2_040, batch.eventId))
  })

  test(`of a batch with a result that cannot be read, ${hold} budget ${isExact ? 'sets the rest aside' : 'has the rest back'}`, async t => {
    const batch = await begin(t, [result('a'), result('b'), 'none'], isExact)
    assert.equal(await batch.look(), 'settled')
    assert.equal(batch.state(), 'settled_estimated')
    const [, settled] = batch.told()
    assert.ok(Number(settled) > 2_040)
    assert.deepEqual(batch.told(), rest(Number(settled), batch.eventId))
  })
}
