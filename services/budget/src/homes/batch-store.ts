import { type Cutoff, isPerChosen, isPlaceless, otherCopy } from '@sluice/contracts'
import { type HomeState, leftOf, type Pool, poolKey, spentOf, type windowAt } from '@sluice/leases'
import { type Kysely, transact } from '@sluice/postgres'
import type { SpentWindow } from '../alerts/fire-alerts-store.ts'
import { type CountedBudget, type WindowState, type WindowSum, windowKey } from '../budget.ts'
import { crossLimits } from '../cross-limits-store.ts'
import type { BudgetTables } from '../db/schema.ts'
import { nameCopies } from '../told-apart-store.ts'
import { makeWindows } from '../window-store.ts'
import type { AskCommand, Command } from './command.ts'
import { mayBeThere, namedBy } from './command.ts'
import { type DecidedBatch, decideBatch, hasRecovered, isWindowOpen, leaseIdsOf } from './decide-batch.ts'
import { type LoadedHome, listOpenLeases, loadHome, type OpenLease, saveHome } from './home-store.ts'
import { endRecovery, lockOwnHome, type OwnedHome } from './ownership-store.ts'

/** A batch that is committed. */
export interface AppliedBatch extends DecidedBatch {
  state: HomeState
  cutoffs: Cutoff[]
  copies: { budgetId: string; copy: string }[]
  /** Asks that wait for money which these leases may bring back. */
  waiting: { command: AskCommand; leases: OpenLease[] }[]
}

export interface BatchContext {
  db: Kysely<BudgetTables>
  owner: string
  findWindow: typeof windowAt
  /** A gateway that is silent for so long is not waited for. */
  silentMs: number
  /** By home: when gateways have said last what batches and responses in the background have. */
  holdersToldAt: Map<number, number>
  /** Whether a recall could bring back anything of a lease for this ask. */
  isWorthRecall: (lease: OpenLease, command: AskCommand, state: HomeState, nowMs: number) => boolean
}

/**
 * Applies commands of a home in one transaction: its row → what they name → decisions in memory → what has changed.
 * Undefined: the home is another's, and nothing was done.
 */
export async function applyBatch(
  context: BatchContext,
  owned: OwnedHome,
  commands: readonly Command[],
): Promise<AppliedBatch | undefined> {
  const others = new Map<string, string>()
  for (let round = 0; round < 3; round++) {
    const applied = await tryBatch(context, owned, commands, others)
    if (!applied || 'state' in applied) return applied
    // Apart from the batch, so that windows are always locked in one order.
    await makeWindows(context.db, applied.missing, Date.now())
    if (applied.unnamed.length === 0) continue
    const unnamed = await transact(context.db, trx => nameCopies(trx, applied.unnamed, Date.now()))
    for (const { budgetId, copy, window } of applied.unnamed)
      if (unnamed.has(windowKey(budgetId, copy, window.startMs)))
        others.set(poolKey(budgetId, copy, window.startMs), budgetId)
  }
  throw new Error(`windows of home ${owned.home} were made and are not there`)
}

/** Windows that are not there: of copies that anybody may have, and of values that may have to share one. */
interface MissingWindows {
  missing: WindowSum[]
  unnamed: WindowSum[]
}

/** @param others pools of values that have no copy of their own, with their budgets */
function tryBatch(
  { db, owner, findWindow, silentMs, holdersToldAt, isWorthRecall }: BatchContext,
  owned: OwnedHome,
  commands: readonly Command[],
  others: ReadonlyMap<string, string>,
): Promise<AppliedBatch | MissingWindows | undefined> {
  return transact(db, async trx => {
    const nowMs = Date.now()
    const locked = await lockOwnHome(trx, owner, owned, nowMs)
    if (!locked) return undefined
    const loaded = await loadHome(trx, owned.home, namedBy(commands, leaseIdsOf))
    const { state, budgets } = loaded
    const windows = missingWindows(loaded, commands, others, nowMs, findWindow)
    if (windows.missing.length + windows.unnamed.length > 0) return windows
    const before = new Map(state.pools)
    const { recoveringSinceMs } = locked
    const isRecovering = recoveringSinceMs !== undefined
    const about = { state, budgets, others, term: owned.term, nowMs, findWindow, isRecovering }
    const batch = decideBatch(about, commands)
    const waiting: AppliedBatch['waiting'] = []
    if (batch.recalls.length > 0) {
      const asks = batch.recalls.splice(0)
      const open = await listOpenLeases(trx, owned.home, shortPools(state, asks))
      const poor: AskCommand[] = []
      for (const command of asks) {
        const short = new Set(shortPools(state, [command]).map(({ key }) => key))
        const leases = open.filter(lease => short.has(lease.pool) && isWorthRecall(lease, command, state, nowMs))
        if (leases.length > 0) waiting.push({ command, leases })
        else poor.push({ ...command, recalled: true })
      }
      decideBatch(about, poor, batch)
    }
    for (const gatewayId of batch.listed) loaded.listedAt.set(gatewayId, nowMs)
    if (batch.areHoldersTold) holdersToldAt.set(owned.home, nowMs)
    const said = { listedAt: loaded.listedAt, holdersToldAtMs: holdersToldAt.get(owned.home) }
    if (isRecovering && hasRecovered(state, said, recoveringSinceMs, silentMs, nowMs))
      await endRecovery(trx, owned.home)
    const leases = [...batch.leases].flatMap(leaseId => state.leases.get(leaseId) ?? [])
    const pools = [...state.pools.values()].filter(pool => before.get(pool.key) !== pool)
    const gatewayIds = new Set([...batch.gateways, ...batch.listed])
    const freed = await saveHome(trx, owned.home, loaded, { leases, pools, gatewayIds }, nowMs)
    const changed = { suspects: spentUp(loaded, pools), spent: settledNow(loaded, before, pools) }
    const cutoffs = await crossLimits(trx, loaded.budgets, changed, nowMs)
    // Whether values can get a copy stands beside what is known of the one that they share.
    const shared = new Set([...freed.map(({ budgetId }) => budgetId), ...others.values()])
    const copies = [...pools, ...freed].map(({ budgetId, copy }) => ({ budgetId, copy }))
    for (const budgetId of shared) copies.push({ budgetId, copy: otherCopy })
    return { ...batch, state, cutoffs, copies, waiting }
  })
}

/** Pools in which an ask finds less than it wants. */
function shortPools(state: HomeState, asks: readonly AskCommand[]): Pool[] {
  const short = new Map<string, Pool>()
  for (const { message } of asks)
    for (const item of message.items) {
      const pool = state.pools.get(poolKey(item.budget_id, item.copy, item.window_start_ms))
      if (pool && leftOf(pool) < item.want) short.set(pool.key, pool)
    }
  return [...short.values()]
}

/** Windows that commands name, that may have leases, and that are not there yet. */
function missingWindows(
  { state, budgets }: LoadedHome,
  commands: readonly Command[],
  others: ReadonlyMap<string, string>,
  nowMs: number,
  findWindow: typeof windowAt,
): MissingWindows {
  const missing = new Map<string, WindowSum>()
  const unnamed = new Map<string, WindowSum>()
  const add = (to: Map<string, WindowSum>, budget: CountedBudget, copy: string, startMs: number) => {
    const key = poolKey(budget.budget_id, copy, startMs)
    const window = findWindow(budget.window, budget.time_zone, startMs)
    if (window.startMs === startMs) to.set(key, { budgetId: budget.budget_id, copy, window, amount: 0n })
  }
  for (const { kind, message } of commands) {
    if (kind === 'heartbeat') continue
    for (const named of kind === 'ask' ? message.items : message.leases) {
      const budget = budgets.get(named.budget_id)
      if (!budget || !mayBeThere(named) || state.pools.has(poolKey(named.budget_id, named.copy, named.window_start_ms)))
        continue
      // What a lease names was there once: this database has lost it.
      const isOther = others.has(poolKey(named.budget_id, named.copy, named.window_start_ms))
      if (kind === 'ask') {
        if (isOther || budget.mode !== 'hard') continue
        if (!isWindowOpen(budget, named.window_start_ms, nowMs, findWindow)) continue
      }
      const isValue = kind === 'ask' && isPerChosen(budget) && !isPlaceless(named.copy)
      add(isValue ? unnamed : missing, budget, named.copy, named.window_start_ms)
    }
  }
  return { missing: [...missing.values()], unnamed: [...unnamed.values()] }
}

/** Pools that are spent: in a hard budget no call can go on there. */
function spentUp({ windowEnds }: LoadedHome, pools: readonly Pool[]): WindowState[] {
  return pools.filter(pool => spentOf(pool) >= pool.limit).map(pool => toWindow(pool, windowEnds))
}

/** What leases have settled in this transaction: what is only held may come back, and nobody is told of it. */
function settledNow(
  { budgets, windowEnds }: LoadedHome,
  before: ReadonlyMap<string, Pool>,
  pools: readonly Pool[],
): SpentWindow[] {
  return pools.flatMap(pool => {
    const budget = budgets.get(pool.budgetId)
    const held = before.get(pool.key)
    if (!budget || !held || spentOf(held) === spentOf(pool)) return []
    return [{ budget, window: toWindow(pool, windowEnds), spentBefore: BigInt(spentOf(held)) }]
  })
}

function toWindow(pool: Pool, windowEnds: LoadedHome['windowEnds']): WindowState {
  return {
    budgetId: pool.budgetId,
    copy: pool.copy,
    window: { startMs: pool.windowStartMs, endMs: windowEnds.get(pool.key) },
    amount: BigInt(pool.unleased),
    settled: BigInt(pool.settled),
    unresolved: BigInt(pool.unresolved),
    outstanding: BigInt(pool.outstanding),
  }
}
