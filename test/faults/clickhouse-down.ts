import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { eventually } from '@sluice/test-env'
import { auditStores, storesThatMayDie } from './audit-stores.ts'
import { startLoad } from './load-client.ts'
import { asMutant, type Replacement } from './mutant.ts'
import { seededRandom } from './random.ts'
import { judgeRun, keepServiceLogs } from './run-views.ts'
import type { Outcome, Scenario, ScenarioRun } from './scenario.ts'

interface Size {
  kills: number
  /** Then away for so long. */
  awaySeconds: number
  perSecond: number
  /** Calls answered before the first kill, and once everything is back. */
  answered: number
}

/**
 * ClickHouse as the network shows it: while the file is there it refuses everything; of its inserts a third is answered with an
 * error, half of those after it has committed; and every insert takes its time, so that a kill finds it in the middle.
 */
function unreliable(downFile: string): Replacement[] {
  return [
    {
      file: 'packages/clickhouse/src/clickhouse-client.ts',
      from: 'return {\n    query: <Row>',
      to: `const isDown = () => process.getBuiltinModule('node:fs').existsSync(${JSON.stringify(downFile)})
  const refuse = () => { if (isDown()) throw Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' }) }
  const fail = (share: number) => { if (Math.random() < share) throw Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' }) }
  const linger = () => new Promise(resolve => setTimeout(resolve, Math.random() * 60))
  return {\n    query: <Row>`,
    },
    {
      file: 'packages/clickhouse/src/clickhouse-client.ts',
      from: 'const result = await client.query({',
      to: 'refuse()\n        const result = await client.query({',
    },
    {
      file: 'packages/clickhouse/src/clickhouse-client.ts',
      from: 'await client.command({ query: sql',
      to: 'refuse()\n        await client.command({ query: sql',
    },
    {
      file: 'packages/clickhouse/src/clickhouse-client.ts',
      from: 'await client.insert({\n          table,',
      to: 'await linger()\n        refuse()\n        fail(0.17)\n        await client.insert({\n          table,',
    },
    {
      file: 'packages/clickhouse/src/clickhouse-client.ts',
      from: 'insert_deduplication_token: token },\n        })\n',
      to: 'insert_deduplication_token: token },\n        })\n        await linger()\n        fail(0.17)\n',
    },
  ]
}

/** Marks are set although the insert was answered with an error. */
const markAnyway: Replacement[] = [
  {
    file: 'services/analytics/src/usage-writer.ts',
    from: 'if (rows.length > 0) await deps.rows.insertUsage(rows, tokenOf(run, rows))',
    to: 'if (rows.length > 0) await deps.rows.insertUsage(rows, tokenOf(run, rows)).catch(() => undefined)',
  },
]

/** Kills the writer at random points, then takes ClickHouse away for long, while clients call. */
async function run(at: ScenarioRun, size: Size, mutant: readonly Replacement[] = []): Promise<Outcome> {
  const downFile = join(at.logs, 'clickhouse-is-down')
  const stack = await at.stack({
    ...storesThatMayDie,
    env: { ...storesThatMayDie.env, ANALYTICS_INSERT_WINDOW_MS: '50' },
    preloads: { analytics: asMutant([...unreliable(downFile), ...mutant]) },
  })
  const { analytics } = stack.services
  const random = seededRandom(at.seed)
  const load = startLoad({
    origin: stack.url,
    apiKey: stack.apiKey,
    seed: at.seed,
    logFile: join(at.logs, 'client.ndjson'),
    connections: 128,
    perSecond: size.perSecond,
    streamed: 0.1,
  })
  const answered = async (calls: number) => {
    const before = load.calls.length
    await eventually(() => load.calls.length >= before + calls, { message: `${calls} answers` })
  }
  let awayMs = 0
  try {
    await answered(size.answered)
    for (let kill = 1; kill <= size.kills; kill++) {
      await delay(random() * 400)
      await analytics.kill()
      await analytics.start()
      await analytics.untilReady()
      if (kill % 10 === 0) at.say(`${kill} kills, ${load.calls.length} calls`)
    }
    const goneAt = performance.now()
    writeFileSync(downFile, '')
    at.say('ClickHouse is away')
    await delay(size.awaySeconds * 1000)
    rmSync(downFile)
    awayMs = performance.now() - goneAt
    at.say('ClickHouse is back')
    await answered(size.answered)
  } finally {
    await load.stop()
  }
  const outcome = await judgeRun(at, stack, load.calls, { quietMs: 20_000 })
  outcome.figures['kill -9 of the writer'] = size.kills
  outcome.figures['then ClickHouse away, s'] = (awayMs / 1000).toFixed(1)
  outcome.kept.push(...(await auditStores(stack, mutant.length > 0 ? 1_000 : 30_000)))
  keepServiceLogs(at, stack)
  return outcome
}

export const clickhouseDown: Scenario<Size> = {
  name: 'clickhouse-down',
  promise: 'ClickHouse away, lying about what it committed, and its writer killed: rows and rollups equal the ledger',
  full: { kills: 50, awaySeconds: 600, perSecond: 60, answered: 50 },
  small: { kills: 1, awaySeconds: 2, perSecond: 15, answered: 15 },
  run,
  mutant: {
    name: 'marks are set although the insert failed',
    size: { kills: 1, awaySeconds: 4, perSecond: 30, answered: 50 },
    run: (at, size) => run(at, size, markAnyway),
  },
}
