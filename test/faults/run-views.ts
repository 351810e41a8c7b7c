import { cpSync, existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { TestStack } from '@sluice/test-env'
import { countPosted, readAnalytics, readBill, readLedger } from './accounts-of-a-run.ts'
import { compareViews, judge, type Views } from './compare.ts'
import type { ClientCall } from './load-client.ts'
import { brokenPromises, type Outcome, type RunStack, type ScenarioRun } from './scenario.ts'

/** What has posted nothing for so long is at rest. */
const restMs = 250
/** Progress or not: no run is waited for longer than this. */
const longestMs = 20 * 60_000

/**
 * Reads all views of a run until they agree, or until nothing has changed for `quietMs`: then what is missing will not come.
 * While they change they are catching up, however long the machine takes. Every view is kept in the logs of the run.
 */
export async function judgeRun(
  run: ScenarioRun,
  stack: RunStack,
  calls: readonly ClientCall[],
  options: {
    quietMs?: number
    /** Promises that this fault may break; what it may take is judged elsewhere. */
    without?: readonly string[]
  } = {},
): Promise<Outcome> {
  const { quietMs = 8_000, without = [] } = options
  const startedAt = performance.now()
  let changedAt = startedAt
  let saidAt = startedAt
  let size = ''
  let posted = -1
  for (;;) {
    const beganAt = performance.now()
    // Views of what is still being posted cannot agree yet: the whole of them is read when the ledger has come to rest.
    const postedNow = await countPosted(stack)
    if (postedNow !== posted && beganAt - startedAt < longestMs) {
      posted = postedNow
      changedAt = beganAt
      await delay(restMs)
      continue
    }
    const views = await readViews(stack, calls)
    const comparison = compareViews(views)
    const outcome = judge(comparison, views)
    outcome.kept = outcome.kept.filter(({ promise }) => !without.includes(promise))
    const now = performance.now()
    const sizeNow = `${views.events.length} ${views.rows.length} ${views.total.events}`
    if (sizeNow !== size) changedAt = now
    size = sizeNow
    const agreed = brokenPromises(outcome).length === 0
    if (agreed || now - changedAt > quietMs || now - startedAt > longestMs) {
      outcome.figures['all views agreed after, s'] = agreed ? ((now - startedAt) / 1000).toFixed(1) : 'never'
      keepLogs(run, stack, views)
      return outcome
    }
    if (now - saidAt > 10_000) {
      saidAt = now
      run.say(
        `catching up: ${comparison.lost.length} calls without an event, ${comparison.differsInAnalytics.length} events without a row`,
      )
    }
    // Reading is work for those who are catching up: it takes no more than a third of the time, and less the longer they take.
    await delay(Math.max(250, 2 * (now - beganAt), Math.min(2_000, (now - startedAt) / 10)))
  }
}

async function readViews(stack: RunStack, calls: readonly ClientCall[]): Promise<Views> {
  const [ledger, rows, bill] = await Promise.all([
    readLedger(stack, stack.projectId),
    readAnalytics(stack),
    readBill(stack),
  ])
  return { calls, events: ledger.events, total: ledger.total, rows, bill }
}

function keepLogs(run: ScenarioRun, stack: TestStack, views: Views): void {
  const write = (name: string, values: readonly object[]) =>
    writeFileSync(join(run.logs, `${name}.ndjson`), values.map(value => `${JSON.stringify(value)}\n`).join(''))
  write('ledger-events', views.events)
  write('analytics-rows', views.rows)
  write('provider-bill', views.bill)
  keepServiceLogs(run, stack)
}

/** Keeps what the services have logged so far. */
export function keepServiceLogs(run: ScenarioRun, stack: TestStack): void {
  const services = join(stack.home, 'logs')
  if (existsSync(services)) cpSync(services, join(run.logs, 'services'), { recursive: true })
}
