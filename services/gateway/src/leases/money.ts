import {
  type Budget,
  type DrawnMoney,
  type HandedMoney,
  handedLeaseId,
  type UsageRecordedData,
} from '@sluice/contracts'
import {
  type DrawnRow,
  drawnIn,
  type HeldItem,
  HeldRow,
  type Hold,
  type JournaledHold,
  type Need,
  type SettledHold,
  usedAmount,
  type WalletLease,
  type WalletPool,
} from '@sluice/leases'
import type { MatchedBudget } from '../budget-index.ts'
import { isLoose } from '../rate-limit.ts'
import type { LeaseClient } from './lease-client.ts'

const nothing = (): void => {}

const notExtended: readonly Hold[] = []
const noBudgets: readonly MatchedBudget[] = []

/** An attempt that costs nothing. */
const free = { cost_nano_usd: 0, http_status: 200, quantities: {}, status: 'completed' } as const

/** What of a CLOSE is told by its money. */
export interface SettledMoney {
  drawn: DrawnMoney[]
  /** {@link SettledHold.row} */
  row: DrawnRow | undefined
  unresolved: UsageRecordedData['unresolved'] | undefined
  handed: UsageRecordedData['handed'] | undefined
}

/** What moves money: the wallet of this run, and those who wait for it. */
export type LeaseTalk = Pick<LeaseClient, 'wallet' | 'line' | 'send'>

/** Money of hard budgets that one attempt holds, from before its OPEN to its CLOSE. */
export class Money {
  readonly budgets: readonly MatchedBudget[]
  readonly #talk: LeaseTalk
  readonly #first: Hold
  #extensions: readonly Hold[] = notExtended
  readonly #onEnded: () => void
  #slots: Money | undefined
  #isSettled = false
  #exceeded: readonly MatchedBudget[] = noBudgets

  /**
   * @param budgets in the order of the hold's items
   * @param onEnded called once, when nothing is held any more
   */
  constructor(talk: LeaseTalk, hold: Hold, budgets: readonly MatchedBudget[], onEnded: () => void = nothing) {
    this.#talk = talk
    this.#onEnded = onEnded
    this.#first = hold
    this.budgets = budgets
  }

  get #holds(): readonly Hold[] {
    return [this.#first, ...this.#extensions]
  }

  /** Some budget holds all that the call can use: its end must be known, or the rest stays set aside. */
  get isExact(): boolean {
    return this.budgets.some(({ budget }) => isExact(budget))
  }

  get isSettled(): boolean {
    return this.#isSettled
  }

  /** Budgets of which its attempt has used more than it held. Nobody knows before it is settled. */
  get exceeded(): readonly MatchedBudget[] {
    return this.#exceeded
  }

  /** Slots of the same attempt that were taken by themselves, before its OPEN: they end with it. */
  join(slots: Money): void {
    this.#slots = slots
  }

  /** When the first of its windows ends; undefined: none does. */
  get windowEndMs(): number | undefined {
    let endMs: number | undefined
    for (const { windowEndMs } of this.pools)
      if (windowEndMs !== undefined) endMs = Math.min(endMs ?? windowEndMs, windowEndMs)
    return endMs
  }

  /** What it holds of its budget at this place. */
  heldOf(at: number): number {
    return this.#holds.reduce((sum, { items }) => sum + (items[at]?.amount ?? 0), 0)
  }

  /** What of a budget is left to others, as far as its home and this gateway know; undefined: nothing of it is held here. */
  leftOf(budgetId: string, copy: string): number | undefined {
    for (const pool of this.pools) if (pool.budgetId === budgetId && pool.copy === copy) return pool.left + pool.free
    return this.#slots?.leftOf(budgetId, copy)
  }

  /** The pools that it holds money of. */
  get pools(): readonly WalletPool[] {
    return this.#first.pools
  }

  /** Makes what it holds smaller where it is more than these amounts, by budget: they must pay for all that is to come. */
  lower(amounts: readonly number[]): void {
    if (this.#isSettled) return
    for (const [at, amount] of amounts.entries()) this.#lowerBudget(at, amount)
    if (this.#isWaitedFor) setImmediate(() => this.#talk.line.poll(Date.now()))
  }

  #lowerBudget(at: number, amount: number): void {
    let excess = this.heldOf(at) - amount
    for (const { items } of [...this.#holds].reverse()) {
      const item = items[at]
      if (!item || excess <= 0) continue
      const before = item.amount
      this.#talk.wallet.lower(item, Math.max(0, before - excess))
      excess -= before - item.amount
    }
  }

  /** What {@link lower} would give back of each lease; the amounts are added to it. */
  addSpare(amounts: readonly number[], spare: Map<WalletLease, number>): void {
    for (const [at, amount] of amounts.entries()) {
      let excess = this.heldOf(at) - amount
      for (const { items } of [...this.#holds].reverse())
        for (const part of [...(items[at]?.parts ?? [])].reverse()) {
          if (excess <= 0) break
          const less = Math.min(excess, part.amount)
          spare.set(part.lease, (spare.get(part.lease) ?? 0) + less)
          excess -= less
        }
    }
  }

  /** What its OPEN says of it, where that is told by one lease of each budget; undefined: {@link journaled} tells it. */
  get heldRow(): HeldRow | undefined {
    const { row, amounts } = this.#first
    return row && this.#extensions === notExtended && !this.#slots ? new HeldRow(row, amounts, this.budgets) : undefined
  }

  /** All that it holds, one for each budget: what its OPEN says of it, and each EXTEND. */
  get journaled(): JournaledHold[] {
    const own = this.budgets.map(({ budget, copy }, at) => {
      const journaled: JournaledHold = {
        budget_id: budget.budget_id,
        copy,
        window_start_ms: this.pools[at]?.windowStartMs ?? 0,
        unit: budget.unit,
        parts: this.#partsOf(at),
      }
      if (isExact(budget)) journaled.exact = true
      return journaled
    })
    return this.#slots ? [...own, ...this.#slots.journaled] : own
  }

  /** What it holds of its budget at this place, by lease. */
  #partsOf(at: number): JournaledHold['parts'] {
    const parts = partsOf(this.#first.items[at])
    for (const { items } of this.#extensions)
      for (const { lease, amount } of items[at]?.parts ?? []) {
        const known = parts.find(([leaseId]) => leaseId === lease.leaseId)
        if (known) known[1] += amount
        else parts.push([lease.leaseId, amount])
      }
    return parts
  }

  /** Takes more for it, of the same budgets, before those who wait; undefined: too little is here. {@link extend} makes it its own. */
  takeMore(attemptId: string, needs: readonly Need[], nowMs: number): Hold | undefined {
    return this.#talk.wallet.extend(attemptId, this.#holds, needs, nowMs)
  }

  /**
   * Holds more, of the same budgets.
   * @param write puts all that is held now into the journal. False: it does not stand there, and nothing more is held
   */
  extend(hold: Hold, write: (holds: JournaledHold[]) => boolean): boolean {
    const before = this.#extensions
    this.#extensions = [...before, hold]
    if (!this.#isSettled && write(this.journaled)) return true
    this.#extensions = before
    this.#talk.wallet.release(hold)
    return false
  }

  /** For the attempt's CLOSE. What was held and not used is free at once. */
  settle(
    attempt: Parameters<typeof usedAmount>[1],
    isUnmeasured: boolean,
    nowMs: number,
    holder?: string,
  ): SettledMoney {
    this.#isSettled = true
    this.#onEnded()
    const used: number[] = []
    for (const { budget } of this.budgets) used.push(usedAmount(budget.unit, attempt))
    if (this.budgets.some((each, at) => this.#isExceeded(each, at, used))) {
      this.#exceeded = this.budgets.filter((each, at) => this.#isExceeded(each, at, used))
    }
    const staysOpen = isUnmeasured && this.isExact ? this.budgets.map(({ budget }) => isExact(budget)) : false
    const settled = this.#settleHolds(used, staysOpen, holder)
    const { unresolved, handed } = settled
    let { drawn, row } = settled
    if (this.#slots) {
      drawn = [...drawnIn(settled), ...drawnIn(this.#slots.settle(attempt, false, nowMs))]
      row = undefined
    }
    // Behind the CLOSE: what others do with the money is nothing that this attempt's record may wait for.
    if (this.#isWaitedFor) setImmediate(() => this.#talk.line.poll(nowMs))
    return {
      drawn,
      row,
      unresolved: unresolved.length > 0 ? unresolved : undefined,
      handed: holder === undefined ? undefined : { holder, leases: handed },
    }
  }

  #isExceeded({ budget }: MatchedBudget, at: number, used: readonly number[]): boolean {
    if (isLoose(budget)) return false
    const { row, amounts } = this.#first
    const held = row && this.#extensions === notExtended ? (amounts[at] ?? 0) : this.heldOf(at)
    return (used[at] ?? 0) > held
  }

  #settleHolds(used: readonly number[], staysOpen: boolean | readonly boolean[], holder?: string): SettledHold {
    const { wallet } = this.#talk
    if (this.#extensions === notExtended) return wallet.settle(this.#first, used, staysOpen, holder)
    const rest = [...used]
    let all: SettledHold | undefined
    for (const [at, hold] of this.#holds.entries()) {
      const part = hold.items.map(({ amount }, item) =>
        at === this.#lastHoldOf(item) ? (rest[item] ?? 0) : Math.min(rest[item] ?? 0, amount),
      )
      const settled = wallet.settle(hold, part, staysOpen, holder)
      all = all ? together(all, settled) : settled
      for (const [item, amount] of part.entries()) rest[item] = (rest[item] ?? 0) - amount
    }
    return all ?? { drawn: [], row: undefined, unresolved: [], handed: [] }
  }

  /** The last of its holds that has a lease of its budget at this place: what is used beyond all of them is settled there. */
  #lastHoldOf(at: number): number {
    let last = this.#holds.length - 1
    while (last > 0 && this.#holds[last]?.items[at]?.parts.length === 0) last--
    return last
  }

  /**
   * What its holder will have of it behind an attempt that costs nothing by itself. Slots are given back.
   * @param modelsOf models whose requests count in a budget; undefined: all
   */
  handedTo(holder: string, modelsOf: (matched: MatchedBudget) => readonly string[] | undefined): HandedMoney {
    const leases: HandedMoney['leases'] = []
    for (const { items } of this.#holds)
      for (const [at, { pool, parts }] of items.entries()) {
        const matched = this.budgets[at]
        const unit = matched?.budget.unit
        if (!matched || unit === undefined || unit === 'concurrent') continue
        const models = modelsOf(matched)
        let rest = usedAmount(unit, { ...free, paid_by: 'managed' })
        for (const { lease, amount } of parts) {
          const own = Math.min(rest, amount)
          rest -= own
          if (amount === own) continue
          leases.push({
            lease_id: handedLeaseId(holder, lease.leaseId),
            home: pool.home,
            budget_id: pool.budgetId,
            copy: pool.copy,
            window_start_ms: pool.windowStartMs,
            unit,
            granted: amount - own,
            ...(isExact(matched.budget) && { exact: true as const }),
            ...(models && { models: [...models] }),
          })
        }
      }
    return { holder, leases }
  }

  /** The attempt was never sent. */
  release(): void {
    if (this.#isSettled) return
    this.#isSettled = true
    this.#onEnded()
    this.#slots?.release()
    for (const hold of this.#holds) this.#talk.wallet.release(hold)
    if (this.#isWaitedFor) this.#talk.line.poll(Date.now())
  }

  get #isWaitedFor(): boolean {
    for (const pool of this.#first.pools) if (pool.waiting > 0) return true
    for (const { pools } of this.#extensions) for (const pool of pools) if (pool.waiting > 0) return true
    return false
  }

  /** Asks ahead for pools in which the next calls like this one would not find enough. */
  askAhead(nowMs: number): void {
    for (const ask of this.#talk.wallet.askAhead(this.pools, nowMs)) this.#talk.send(ask)
  }
}

/** What was taken at once, by lease. */
function partsOf(item: HeldItem | undefined): JournaledHold['parts'] {
  return (item?.parts ?? []).map(({ lease, amount }) => [lease.leaseId, amount])
}

/** What two holds of the same budgets have come to. */
function together(one: SettledHold, other: SettledHold): SettledHold {
  return {
    drawn: drawnIn(one).map(([pool, held, parts], at): DrawnMoney => {
      const [, more = 0, later = []] = drawnIn(other)[at] ?? []
      return [pool, held + more, [...parts, ...later]]
    }),
    row: undefined,
    unresolved: [...one.unresolved, ...other.unresolved],
    handed: [...one.handed, ...other.handed],
  }
}

export function isExact(budget: Budget): boolean {
  return budget.hold === 'exact'
}
