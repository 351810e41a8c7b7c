import { type LeaseAnswer, type LeaseHello, type LeaseReceipt, leaseIdOf } from '@sluice/contracts'
import {
  type DecidedReport,
  decideAsk,
  decideHeartbeat,
  decideHello,
  decideReport,
  evolve,
  type HomeEvent,
  type HomeState,
  leftOf,
  type Pool,
  poolKey,
  type windowAt,
} from '@sluice/leases'
import type { CountedBudget } from '../budget.ts'
import type { AskCommand, Command } from './command.ts'

/** What a batch is decided upon. */
export interface BatchCircumstances {
  state: HomeState
  budgets: ReadonlyMap<string, CountedBudget>
  /** Pools of values that have no copy of their own. */
  others?: Pick<ReadonlyMap<string, string>, 'has'>
  term: number
  nowMs: number
  findWindow: typeof windowAt
  isRecovering: boolean
}

/** What a batch comes to: answers to be given after the commit, and asks for which money is to be called back first. */
export interface DecidedBatch {
  answers: (() => void)[]
  recalls: AskCommand[]
  /** By id, of what must be written. */
  leases: Set<string>
  gateways: Set<string>
  /** Gateways that have named all that they have, and it was known. */
  listed: Set<string>
  /** One of them had told of all holders before. */
  areHoldersTold: boolean
  granted: number
  refused: LeaseAnswer['refusal'][]
}

/** A gateway counts among those that share what is left while it was heard of within this time. */
const livelyMs = 10_000
/** No call runs for longer. */
export const longestCallMs = 60 * 60_000
/** Gateways' clocks and ours may differ by so much. */
const clockSkewMs = 5_000

export function emptyBatch(): DecidedBatch {
  return {
    answers: [],
    recalls: [],
    leases: new Set(),
    gateways: new Set(),
    listed: new Set(),
    areHoldersTold: false,
    granted: 0,
    refused: [],
  }
}

/** Decides commands one after the other, each upon what those before it have changed. */
export function decideBatch(
  about: BatchCircumstances,
  commands: readonly Command[],
  batch = emptyBatch(),
): DecidedBatch {
  for (const command of commands) {
    const { state, nowMs } = about
    switch (command.kind) {
      case 'ask':
        decideOneAsk(about, command, batch)
        break
      case 'report':
        receive(about, batch, decideReport(state, command.message, nowMs), command.answer)
        break
      case 'hello':
        if (isWholeHello(state, command.message)) batch.listed.add(command.message.gateway_id)
        receive(about, batch, decideHello(state, command.message, nowMs), command.answer)
        break
      case 'heartbeat':
        receiveHeartbeat(about, batch, command)
    }
  }
  return batch
}

function decideOneAsk(about: BatchCircumstances, command: AskCommand, batch: DecidedBatch): void {
  const { state, nowMs, term } = about
  const { message, recalled } = command
  const lively = [...state.gateways.values()].filter(
    ({ gatewayId, heardAtMs }) => gatewayId !== message.gateway_id && nowMs - heardAtMs < livelyMs,
  )
  const decided = decideAsk({ ...state, pools: poolsOf(about, command) }, message, {
    nowMs,
    term,
    gateways: lively.length + 1,
    recalled,
    isRecovering: about.isRecovering,
    isOpen: (pool, late) => isOpen(about, pool) || (late && isRecent(about, pool)),
    isOther: pool => about.others?.has(pool.key) === true,
  })
  if (decided === 'recall') {
    batch.recalls.push(command)
    return
  }
  apply(about, batch, decided.events)
  batch.granted += decided.answer.grants.length
  if (decided.answer.refusal) batch.refused.push(decided.answer.refusal)
  batch.answers.push(() => command.answer(decided.answer))
}

/** The pools that an ask names, as far as leases may be taken from them. One without a window is not open: it stays empty. */
function poolsOf({ state, budgets }: BatchCircumstances, { message }: AskCommand): Map<string, Pool> {
  const pools = new Map<string, Pool>()
  for (const { budget_id: budgetId, copy, window_start_ms: windowStartMs } of message.items) {
    const budget = budgets.get(budgetId)
    if (budget?.mode !== 'hard') continue
    const key = poolKey(budgetId, copy, windowStartMs)
    const blank = { key, budgetId, copy, windowStartMs, limit: budget.limit, unleased: 0 }
    pools.set(key, state.pools.get(key) ?? { ...blank, settled: 0, unresolved: 0, outstanding: 0 })
  }
  return pools
}

/** Whether leases may be taken from a pool: its window is the one of now, or was or will be within what clocks may differ. */
export function isOpen(
  { state, budgets, nowMs, findWindow }: Pick<BatchCircumstances, 'state' | 'budgets' | 'nowMs' | 'findWindow'>,
  { key, budgetId, windowStartMs }: Pick<Pool, 'key' | 'budgetId' | 'windowStartMs'>,
): boolean {
  const budget = budgets.get(budgetId)
  return budget !== undefined && state.pools.has(key) && isWindowOpen(budget, windowStartMs, nowMs, findWindow)
}

/** Whether calls that were let in in the window of a pool may still run. Of a window that is not there, none holds anything. */
function isRecent(
  { state, budgets, nowMs, findWindow }: Pick<BatchCircumstances, 'state' | 'budgets' | 'nowMs' | 'findWindow'>,
  { key, budgetId, windowStartMs }: Pick<Pool, 'key' | 'budgetId' | 'windowStartMs'>,
): boolean {
  if (!state.pools.has(key)) return false
  const budget = budgets.get(budgetId)
  const window = budget && findWindow(budget.window, budget.time_zone, windowStartMs)
  if (window?.endMs === undefined || window.startMs !== windowStartMs) return false
  return window.endMs <= nowMs && nowMs - window.endMs <= longestCallMs
}

export function isWindowOpen(
  budget: CountedBudget,
  windowStartMs: number,
  nowMs: number,
  findWindow: typeof windowAt,
): boolean {
  return [nowMs, nowMs - clockSkewMs, nowMs + clockSkewMs].some(
    atMs => findWindow(budget.window, budget.time_zone, atMs).startMs === windowStartMs,
  )
}

/** Whether an ask would find what it wants in every pool that is loaded. */
export function findsEnough(state: HomeState, { items }: AskCommand['message']): boolean {
  return items.every(item => {
    const pool = state.pools.get(poolKey(item.budget_id, item.copy, item.window_start_ms))
    return pool !== undefined && leftOf(pool) >= item.want
  })
}

/** The ids under which an ask's leases stand, granted or not. */
export function leaseIdsOf({ gateway_id: gatewayId, epoch, seq, items }: AskCommand['message']): string[] {
  return items.map((_, at) => leaseIdOf(gatewayId, epoch, seq, at))
}

/** A gateway that ends with this hello has nothing else: no later run of it was heard of. */
function isWholeHello(state: HomeState, { gateway_id: gatewayId, ended_epoch: endedEpoch, more }: LeaseHello): boolean {
  return !more && (state.gateways.get(gatewayId)?.epoch ?? 0) <= endedEpoch
}

function receiveHeartbeat(
  about: BatchCircumstances,
  batch: DecidedBatch,
  { message, answer }: Extract<Command, { kind: 'heartbeat' }>,
): void {
  const decided = decideHeartbeat(about.state, message, about.nowMs)
  // What is unknown here its gateway will report whole, and then list again. Parts come one behind the other.
  if (message.whole && !message.whole.more && decided.unknown.length === 0 && !decided.fenced) {
    batch.listed.add(message.gateway_id)
    if (message.whole.holders) batch.areHoldersTold = true
  }
  receive(about, batch, decided, answer)
}

/** For how long the first gateways may be on their way after a home has lost its memory. */
const firstHeardMs = 5_000

/**
 * Whether every gateway that was heard of lately has said what it has since then, and one of them what batches and responses in
 * the background have: all gateways know all of these. One that says nothing of them is waited for as long as one that is silent.
 */
export function hasRecovered(
  state: HomeState,
  { listedAt, holdersToldAtMs = 0 }: { listedAt: ReadonlyMap<string, number>; holdersToldAtMs: number | undefined },
  sinceMs: number,
  silentMs: number,
  nowMs: number,
): boolean {
  if (nowMs - sinceMs < firstHeardMs) return false
  if (holdersToldAtMs < sinceMs && nowMs - sinceMs < silentMs) return false
  return [...state.gateways.values()].every(
    ({ gatewayId, heardAtMs }) => heardAtMs < nowMs - silentMs || (listedAt.get(gatewayId) ?? 0) >= sinceMs,
  )
}

function receive(
  about: BatchCircumstances,
  batch: DecidedBatch,
  { events, unknown, fenced }: DecidedReport,
  answer: (receipt: LeaseReceipt) => void,
): void {
  apply(about, batch, events)
  const { term, nowMs, isRecovering } = about
  batch.answers.push(() =>
    answer({ term, at_ms: nowMs, unknown, fenced, ...(isRecovering && { recovering: true as const }) }),
  )
}

function apply({ state }: BatchCircumstances, batch: DecidedBatch, events: readonly HomeEvent[]): void {
  for (const event of events) {
    evolve(state, event)
    if (event.type === 'gateway-heard') batch.gateways.add(event.gateway.gatewayId)
    else batch.leases.add(event.lease.leaseId)
  }
}
