import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { partitionOf } from '@sluice/contracts'
import { createWindowFinder, type Hold, type Need } from '@sluice/leases'
import type { TestStack } from '@sluice/test-env'
import { seededRandom } from '../faults/random.ts'
import { signIn } from '../management.ts'
import { LeasedGateway } from './leased-gateway.ts'
import { percentile } from './statistics.ts'

export interface WorkloadSize {
  seats: number
  teams: number
  gateways: number
  /** Between two calls of a seat. */
  everyMs: number
  seconds: number
  /** False: gateways ask for nothing that no call wants yet. */
  asksAhead?: boolean
}

export interface WorkloadResult {
  calls: number
  /** Held without asking anyone. */
  local: number
  refused: number
  /** CPU is not the question here: what a call waits. */
  localMicroseconds: { p50: number; p99: number }
  askedMs: { p50: number; p99: number }
}

const windows = ['day', 'month'] as const
const copies = ['shared', 'team', 'member', 'key'] as const
const limits = { shared: '20000', team: '2000', member: '25', key: '25' }
/** What a call can use, and what it uses, in nano-USD. */
const boundNanoUsd = 30_000_000
const usedNanoUsd = 8_000_000
const callMs = 3_000

interface WorkloadBudget {
  id: string
  copy: (typeof copies)[number]
  window: (typeof windows)[number]
}

/** Eight hard budgets of one project: over all of it and for each team, member and key, a day and a month. */
export async function makeBudgets(stack: TestStack): Promise<{ projectId: string; budgets: WorkloadBudget[] }> {
  const admin = await signIn(stack)
  const project = await admin.call<{ id: string }>('POST', '/accounts/projects', { name: 'bench' })
  const budgets: WorkloadBudget[] = []
  for (const copy of copies)
    for (const window of windows) {
      const { status, body } = await admin.call<{ id: string }>(
        'POST',
        `/accounts/projects/${project.body.id}/budgets`,
        {
          name: `${copy}, ${window}`,
          unit: 'usd',
          limit: limits[copy],
          window,
          mode: 'hard',
          ...(copy === 'shared' ? {} : { per: copy }),
        },
      )
      if (status !== 201) throw new Error(`no budget: ${status} ${JSON.stringify(body)}`)
      budgets.push({ id: body.id, copy, window })
    }
  return { projectId: project.body.id, budgets }
}

/** Calls of an ordinary day, as far as money is concerned: every seat calls at any gateway. */
export async function runWorkload(
  stack: TestStack,
  { projectId, budgets }: Awaited<ReturnType<typeof makeBudgets>>,
  size: WorkloadSize,
  delayMs: number,
): Promise<WorkloadResult> {
  const gateways = Array.from(
    { length: size.gateways },
    () => new LeasedGateway(stack.natsAdmin, `gw_${randomUUID().replaceAll('-', '').slice(0, 24)}`, delayMs),
  )
  const findWindow = createWindowFinder()
  const random = seededRandom(1)
  const localMicroseconds: number[] = []
  const askedMs: number[] = []
  let calls = 0
  let refused = 0
  let isMeasured = false

  const needsOf = (gateway: LeasedGateway, seat: number): Need[] =>
    budgets.map(({ id, copy, window }) => {
      const { startMs, endMs } = findWindow(window, 'UTC', Date.now())
      const pool = gateway.wallet.pool({
        budgetId: id,
        copy: copy === 'shared' ? '' : `${copy}-${copy === 'team' ? seat % size.teams : seat}`,
        windowStartMs: startMs,
        windowEndMs: endMs,
        home: partitionOf(projectId),
        isConcurrent: false,
      })
      return { pool, want: boundNanoUsd, need: boundNanoUsd }
    })

  const settle = (gateway: LeasedGateway, hold: Hold): void => {
    const pools = hold.items.map(({ pool }) => pool)
    if (size.asksAhead ?? true) for (const ask of gateway.wallet.askAhead(pools, Date.now())) gateway.send(ask)
    setTimeout(
      () => {
        gateway.wallet.settle(
          hold,
          budgets.map(() => usedNanoUsd),
          false,
        )
        gateway.line.poll(Date.now())
      },
      isMeasured ? callMs : 0,
    )
  }

  /** @returns whether it held its money */
  const call = (gateway: LeasedGateway, seat: number): Promise<boolean> => {
    const attemptId = randomUUID()
    const beganAt = performance.now()
    const needs = needsOf(gateway, seat)
    const hold = gateway.wallet.hold(attemptId, needs, Date.now())
    if (isMeasured) calls++
    if (hold) {
      if (isMeasured) localMicroseconds.push((performance.now() - beganAt) * 1_000)
      settle(gateway, hold)
      return Promise.resolve(true)
    }
    return new Promise(resolve => {
      gateway.line.wait(
        {
          attemptId,
          needs,
          // As gateways do.
          ownerMs: 2_000,
          done: waited => {
            if (isMeasured) askedMs.push(performance.now() - beganAt)
            if (waited.outcome === 'held') settle(gateway, waited.hold)
            else if (isMeasured) refused++
            resolve(waited.outcome === 'held')
          },
        },
        Date.now(),
      )
    })
  }

  try {
    // Everybody has been everywhere before: a day has a first call only once.
    await Promise.all(
      gateways.flatMap(gateway =>
        Array.from({ length: 8 }, async (_, part) => {
          for (let seat = part; seat < size.seats; seat += 8) while (!(await call(gateway, seat)));
        }),
      ),
    )
    await delay(1_000)
    isMeasured = true
    const beganAt = performance.now()
    const waiting: Promise<boolean>[] = []
    for (let due = 0, made = 0; due < size.seconds * 1_000; due = performance.now() - beganAt) {
      for (const wanted = Math.floor((due / size.everyMs) * size.seats); made < wanted; made++) {
        const gateway = gateways[Math.floor(random() * gateways.length)]
        if (gateway) waiting.push(call(gateway, Math.floor(random() * size.seats)))
      }
      await delay(2)
    }
    await Promise.all(waiting)
    await delay(callMs + 500)
  } finally {
    for (const gateway of gateways) gateway.close()
  }
  const sorted = (values: number[]) => values.sort((a, b) => a - b)
  const [local, asked] = [sorted(localMicroseconds), sorted(askedMs)]
  return {
    calls,
    local: local.length,
    refused,
    localMicroseconds: { p50: percentile(local, 0.5), p99: percentile(local, 0.99) },
    askedMs: { p50: percentile(asked, 0.5), p99: percentile(asked, 0.99) },
  }
}
