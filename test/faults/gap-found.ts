import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { jetstreamManager } from '@nats-io/jetstream'
import { seriesHeaders } from '@sluice/contracts'
import { eventually, type TestStack } from '@sluice/test-env'
import { ringingAlarms } from './alert-rules.ts'
import { storesThatMayDie } from './audit-stores.ts'
import { askCompleteness } from './completeness.ts'
import { startLoad } from './load-client.ts'
import { type Replacement, restartAsMutant } from './mutant.ts'
import { seededRandom } from './random.ts'
import type { Outcome, Scenario, ScenarioRun } from './scenario.ts'

interface Size {
  calls: number
  /** How long clients rest between calls; absent: not at all. */
  pauseMs?: number
  /** Messages of usage that are taken from the stream before anybody has read them. */
  dropped: number
  /** Calls whose events the stream does not take before their gateway is lost. */
  unpublished: number
  /** Age of a gap, or of a silence, at which the alarm is to ring, where a test cannot wait as long as the delivered rules. */
  alarmAfterS?: number
  /** After how long a gateway counts as silent, likewise. */
  silentMs?: number
}

/** A number that never came is taken for one that came. */
const gapsForgotten: Replacement[] = [
  { file: 'packages/postgres/src/series-mark.ts', from: 'gaps.push(', to: '[].push(' },
]

/**
 * Loses usage for good: messages are taken from the stream while billing is away, the stream takes no more, and the gateway
 * is lost with its journal and a call under way. Billing's query must name exactly those numbers, and the alarms must ring.
 */
async function run(at: ScenarioRun, size: Size, mutant: readonly Replacement[] = []): Promise<Outcome> {
  const stack = await at.stack({
    ...storesThatMayDie,
    services: ['accounts', 'billing', 'budget', 'gateway'],
    env: size.silentMs === undefined ? {} : { BILLING_GATEWAY_SILENT_MS: String(size.silentMs) },
  })
  const beganAfter = await lastSequence(stack)
  const { billing, gateway } = stack.services
  if (mutant.length > 0) await restartAsMutant(billing, mutant)
  const load = callSteadily(at, size, stack, 'client.ndjson')
  await eventually(() => load.calls.length > 20)
  const before = await askCompleteness(stack)
  const quiet = await alarmsOf(stack, size)
  await billing.stop()
  const wanted = load.calls.length + size.calls
  await eventually(() => load.calls.length > wanted)
  await load.stop()
  const dropped = await dropMessages(stack, size.dropped, seededRandom(at.seed))
  at.say(`${dropped} messages dropped`)
  await refuseMessages(stack)
  const unpublished = callSteadily(at, size, stack, 'client-unpublished.ndjson')
  await eventually(() => unpublished.calls.length >= size.unpublished)
  await unpublished.stop()
  const numbered = load.calls.length + unpublished.calls.length
  const missing = missingNumbers(await listMessages(stack, beganAfter), numbered)
  const openCall = leaveOpen(stack)
  const startedAt = Date.now()
  await billing.start()
  await billing.untilReady()
  await eventually(
    async () => (await askCompleteness(stack)).open.some(epoch => Date.parse(epoch.heard_at) > startedAt),
    { message: 'a heartbeat' },
  )
  // What it has not published is gone with its disk, and so is what the dropped messages could come from again.
  await gateway.kill()
  rmSync(gateway.plan.env.GATEWAY_JOURNAL_DIR ?? '', { recursive: true })
  await openCall
  const found = await eventually(
    async () => {
      const now = await askCompleteness(stack)
      return now.silent.length > 0 && now
    },
    { timeoutMs: (size.silentMs ?? 30_000) + 15_000 },
  ).catch(() => askCompleteness(stack))
  const gaps = found.gaps.flatMap(series => series.gaps.map(([first, last]) => `${first}-${last}`))
  // The alarms wait two minutes: a gap of a moment is a message under way, and a silent gateway may be starting again.
  const ringing = await eventually(
    async () => {
      const names = await alarmsOf(stack, size)
      return alarms.every(name => names.includes(name)) && names
    },
    { timeoutMs: (size.alarmAfterS ?? 120) * 1_000 + 40_000, intervalMs: 500 },
  ).catch(() => alarmsOf(stack, size))
  const [silent] = found.silent
  return {
    figures: {
      calls: numbered,
      'messages dropped': dropped,
      'calls not published': unpublished.calls.length,
      'numbers named': gaps.join(', '),
      'open when last heard of': `${silent?.open_calls} calls, ${silent?.open_nano_usd} nano-USD`,
    },
    kept: [
      {
        promise: 'before, nothing is missing and no alarm rings',
        kept: before.complete && quiet.length === 0,
        found: `complete: ${before.complete}, alarms: ${quiet.join(', ') || 'none'}`,
      },
      {
        promise: 'the query names exactly what was dropped and what was not published',
        kept: !found.complete && JSON.stringify(gaps) === JSON.stringify(missing),
        found: `${gaps.join(', ')} of ${missing.join(', ')}`,
      },
      {
        promise: 'the call that was under way is counted, with an amount',
        kept: silent?.open_calls === 1 && Number(silent.open_nano_usd) > 0,
        found: `${silent?.open_calls} calls, ${silent?.open_nano_usd} nano-USD`,
      },
      {
        promise: 'the alarms of missing usage and of the silent gateway ring once they are old enough',
        kept: alarms.every(name => ringing.includes(name)),
        found: ringing.join(', ') || 'no alarm',
      },
    ],
  }
}

const alarms = ['SluiceUsageMissing', 'SluiceGatewaySilent']

const callSteadily = (at: ScenarioRun, size: Size, stack: TestStack, logFile: string) =>
  startLoad({
    origin: stack.url,
    apiKey: stack.apiKey,
    seed: at.seed,
    logFile: join(at.logs, logFile),
    connections: 4,
    pauseMs: size.pauseMs,
    streamed: 0,
  })

const operatorOf = (stack: TestStack) => stack.services.billing.plan.readyUrl.replace('/health/ready', '')

async function alarmsOf(stack: TestStack, size: Size): Promise<string[]> {
  return ringingAlarms(await (await fetch(`${operatorOf(stack)}/metrics`)).text(), size.alarmAfterS)
}

/** Begins a call that its provider does not end. @returns resolved when it is over */
async function leaveOpen(stack: TestStack): Promise<void> {
  const content = 'a call that is never answered whole [[sim output_tokens=50 fault=silence silence_ms=600000 at=5]]'
  try {
    const answer = await fetch(`${stack.url}/openai/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${stack.apiKey}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'gpt-4o-mini', stream: true, messages: [{ role: 'user', content }] }),
    })
    await answer.text()
  } catch {
    // Its gateway is killed over it.
  }
}

/** Takes messages of usage out of the stream that nobody has read. @returns how many */
async function dropMessages(stack: TestStack, count: number, random: () => number): Promise<number> {
  const manager = await jetstreamManager(stack.natsAdmin)
  const { delivered } = await manager.consumers.info('USAGE', 'billing-ledger')
  const unread = await listMessages(stack, delivered.stream_seq)
  let dropped = 0
  // No neighbours: they are one gap.
  for (let at = Math.floor(random() * 2); at < unread.length && dropped < count; at += 2) {
    const message = unread[at]
    if (!message) break
    await manager.streams.deleteMessage('USAGE', message.seq)
    dropped++
  }
  return dropped
}

/** The stream is full from now on. */
async function refuseMessages(stack: TestStack): Promise<void> {
  const manager = await jetstreamManager(stack.natsAdmin)
  const { state } = await manager.streams.info('USAGE')
  await manager.streams.update('USAGE', { max_msgs: state.messages })
}

/** Of what the stream of usage has taken last. */
async function lastSequence(stack: TestStack): Promise<number> {
  const manager = await jetstreamManager(stack.natsAdmin)
  return (await manager.streams.info('USAGE')).state.last_seq
}

/** The messages of usage that the stream has taken since. All are of one series: one gateway, one project. */
async function listMessages(
  stack: TestStack,
  afterSeq: number,
): Promise<{ seq: number; first: number; last: number }[]> {
  const manager = await jetstreamManager(stack.natsAdmin)
  const { state } = await manager.streams.info('USAGE')
  const messages: { seq: number; first: number; last: number }[] = []
  for (let seq = Math.max(state.first_seq, afterSeq + 1); seq <= state.last_seq; seq++) {
    const message = await manager.streams.getMessage('USAGE', { seq })
    if (!message?.subject.startsWith('usage.recorded.')) continue
    const header = (name: string): number => Number(message.header.get(name))
    messages.push({ seq, first: header(seriesHeaders.first), last: header(seriesHeaders.last) })
  }
  return messages
}

/** What of so many numbers, from that of the first message on, is in no message, as gaps are named. */
function missingNumbers(messages: readonly { first: number; last: number }[], numbered: number): string[] {
  const kept = [...messages].sort((a, b) => a.first - b.first)
  const missing: string[] = []
  let next = kept[0]?.first ?? 1
  const end = next + numbered
  for (const { first, last } of [...kept, { first: end, last: end }]) {
    if (first > next) missing.push(`${next}-${first - 1}`)
    next = Math.max(next, last + 1)
  }
  return missing
}

export const gapFound: Scenario<Size> = {
  name: 'gap-found',
  promise: 'Usage that was lost for good, also with a gateway and its disk, is named to the number, and alarms ring',
  full: { calls: 2_000, dropped: 20, unpublished: 200 },
  small: { calls: 40, pauseMs: 50, dropped: 2, unpublished: 10, alarmAfterS: 1, silentMs: 3_000 },
  run,
  mutant: {
    name: 'what never came is forgotten',
    size: { calls: 100, dropped: 2, unpublished: 20, alarmAfterS: 1, silentMs: 3_000 },
    run: (at, size) => run(at, size, gapsForgotten),
  },
}
