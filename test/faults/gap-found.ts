import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { jetstreamManager } from '@nats-io/jetstream'
import { eventually, startTestStack, type TestStack } from '@sluice/test-env'
import { ringingAlarms } from './alert-rules.ts'
import { askCompleteness } from './completeness.ts'
import { startLoad } from './load-client.ts'
import { type Replacement, restartAsMutant } from './mutant.ts'
import { seededRandom } from './random.ts'
import type { Outcome, Scenario, ScenarioRun } from './scenario.ts'

interface Size {
  calls: number
  /** Messages of usage that are taken from the stream before anybody has read them. */
  dropped: number
  /** Age of a gap at which the alarm is to ring, where a test cannot wait as long as the delivered rule. */
  alarmAfterS?: number
}

/** A number that never came is taken for one that came. */
const gapsForgotten: Replacement[] = [
  { file: 'packages/postgres/src/series-mark.ts', from: 'gaps.push(', to: '[].push(' },
]

/**
 * Loses usage for good: messages are taken from the stream while billing is away, and the journal they could come from is
 * gone with its gateway. Billing's query must name exactly those numbers, and the alarm must ring.
 */
async function run(at: ScenarioRun, size: Size, mutant: readonly Replacement[] = []): Promise<Outcome> {
  const stack = await startTestStack(at.scope, {
    services: ['accounts', 'billing', 'budget', 'gateway'],
  })
  const { billing, gateway } = stack.services
  if (mutant.length > 0) await restartAsMutant(billing, mutant)
  const load = startLoad({
    origin: stack.url,
    apiKey: stack.apiKey,
    seed: at.seed,
    logFile: join(at.logs, 'client.ndjson'),
    connections: 4,
    streamed: 0,
  })
  await eventually(() => load.calls.length > 20, { timeoutMs: 30_000 })
  const before = await askCompleteness(stack)
  const quiet = await alarmsOf(stack, size)
  await billing.stop()
  const wanted = load.calls.length + size.calls
  await eventually(() => load.calls.length > wanted, { timeoutMs: 60_000 })
  await load.stop()
  const dropped = await dropMessages(stack, size.dropped, seededRandom(at.seed))
  at.say(`${dropped.length} messages dropped`)
  // The journal would bring them back within a minute: it is lost with its gateway.
  await gateway.kill()
  rmSync(gateway.plan.env.GATEWAY_JOURNAL_DIR ?? '', { recursive: true })
  await billing.start()
  await billing.untilReady()
  const found = await eventually(
    async () => {
      const now = await askCompleteness(stack)
      return !now.complete && now
    },
    { timeoutMs: 15_000 },
  ).catch(() => askCompleteness(stack))
  const gaps = found.gaps
    .flatMap(series => series.gaps.map(([first, last]) => `${series.gateway_id}.${series.partition} ${first}-${last}`))
    .sort()
  // The alarm waits two minutes, since a gap of a moment is a message under way.
  const ringing = await eventually(
    async () => {
      const names = await alarmsOf(stack, size)
      return names.length > 0 && names
    },
    { timeoutMs: (size.alarmAfterS ?? 120) * 1_000 + 40_000, intervalMs: 500 },
  ).catch((): string[] => [])
  return {
    figures: { calls: load.calls.length, 'messages dropped': dropped.length, 'gaps named': gaps.join(', ') },
    kept: [
      {
        promise: 'before, nothing is missing and no alarm rings',
        kept: before.complete && quiet.length === 0,
        found: `complete: ${before.complete}, alarms: ${quiet.join(', ') || 'none'}`,
      },
      {
        promise: 'the query names exactly what was dropped',
        kept: JSON.stringify(gaps) === JSON.stringify([...dropped].sort()),
        found: `${gaps.length} gaps of ${dropped.length}`,
      },
      {
        promise: 'the alarm of missing usage rings once the gap is old enough',
        kept: ringing.includes('SluiceUsageMissing'),
        found: ringing.join(', ') || 'no alarm',
      },
    ],
  }
}

const operatorOf = (stack: TestStack) => stack.services.billing.plan.readyUrl.replace('/health/ready', '')

async function alarmsOf(stack: TestStack, size: Size): Promise<string[]> {
  return ringingAlarms(await (await fetch(`${operatorOf(stack)}/metrics`)).text(), size.alarmAfterS)
}

/** Takes messages of usage out of the stream that nobody has read. @returns what was in them, as gaps are named */
async function dropMessages(stack: TestStack, count: number, random: () => number): Promise<string[]> {
  const manager = await jetstreamManager(stack.natsAdmin)
  const { delivered } = await manager.consumers.info('USAGE', 'billing-ledger')
  const { state } = await manager.streams.info('USAGE')
  const unread: { seq: number; name: string }[] = []
  for (let seq = delivered.stream_seq + 1; seq <= state.last_seq; seq++) {
    const message = await manager.streams.getMessage('USAGE', { seq })
    if (!message?.subject.startsWith('usage.recorded.')) continue
    const header = (name: string): string => message.header.get(name)
    unread.push({
      seq,
      name: `${header('Sluice-Gateway')}.${header('Sluice-Partition')} ${header('Sluice-First')}-${header('Sluice-Last')}`,
    })
  }
  // Not the last of a series: nobody would know of it before its epoch is closed. And no neighbours: they are one gap.
  const dropped: string[] = []
  for (let at = Math.floor(random() * 2); at < unread.length - 1 && dropped.length < count; at += 2) {
    const message = unread[at]
    if (!message) break
    await manager.streams.deleteMessage('USAGE', message.seq)
    dropped.push(message.name)
  }
  return dropped
}

export const gapFound: Scenario<Size> = {
  name: 'gap-found',
  promise: 'Usage that was lost for good is named, to the number, and an alarm rings',
  full: { calls: 2_000, dropped: 20 },
  small: { calls: 100, dropped: 2, alarmAfterS: 1 },
  run,
  mutant: {
    name: 'what never came is forgotten',
    size: { calls: 100, dropped: 2, alarmAfterS: 1 },
    run: (at, size) => run(at, size, gapsForgotten),
  },
}
