import type { Budget, BudgetWindow } from '@sluice/contracts'
import {
  type createWindowFinder,
  type Hold,
  homeOfBudget,
  type Need,
  PoolSet,
  type Refused,
  type Waited,
  type Wallet,
  type WalletPool,
} from '@sluice/leases'
import type { CallBound } from '../bounds/call-bound.ts'
import type { CountText } from '../bounds/tighten-bound.ts'
import type { MatchedBudget } from '../budget-index.ts'
import { refusalOfSpent } from '../hold-budget.ts'
import { withOther } from '../paid-hold.ts'
import { amountOf, isLoose, isRateLimit, outputWithinOf, refusalOfHeldRate } from '../rate-limit.ts'
import { nameOf, Refusal, type RefusalBudget } from '../refusal.ts'
import type { LeaseClient } from './lease-client.ts'
import { isExact, Money } from './money.ts'
import type { TokenLengths } from './token-lengths.ts'
import type { UnknownAllowance } from './unknown-allowance.ts'

/** What this gateway knows of copies of budgets. */
export interface KnownCopies {
  findWindow: (budgetId: string, copy: string, nowMs: number) => BudgetWindow | undefined
  /** A home has said that a value shares the copy of all others, in a window that ends then. */
  noteOther: (budgetId: string, value: string, windowEndMs: number | undefined, nowMs: number) => void
}

export interface LeaseDeps {
  client: LeaseClient
  copies: KnownCopies
  findWindow: ReturnType<typeof createWindowFinder>
  allowance: UnknownAllowance
  tokenLengths: TokenLengths
  /** Asked for texts of which bytes are more than there is money for. */
  countText: CountText
}

/** What a call has got. */
export interface Taken {
  money: Money
  /** By which it was paid for. */
  bound: CallBound
  /** As much output is paid for; undefined: as much as it asked for. */
  outputTokens: number | undefined
  /** The budget that pays for no more. */
  limitedBy?: MatchedBudget | undefined
  /** Pays for more as the stream goes on: `outputTokens` is where it begins. */
  isPaced: boolean
}

/** A call that asks for money. */
export interface Paying {
  attemptId: string
  /** The hard budgets that it counts against, in the order of their ids. */
  budgets: readonly MatchedBudget[]
  bound: CallBound
  /** What counts in one of the budgets, where that is not all of it: neither is tightened or clamped then. Absent: `bound`. */
  boundFor?: (matched: MatchedBudget) => CallBound
  /** Bounds it again, by tokens instead of bytes: asked only where `bound` does not fit. */
  tighten?: () => CallBound | Promise<CallBound>
  /** It is streamed, and all of its output is seen while it runs. */
  isVisible: boolean
}

/** Calls that run give money back within seconds. */
const heldRetryS = 2

/** What a stream is paid for at first, and each time that it goes on. */
export const trancheTokens = 1_024

/** Calls that may wait for one pool at a time: more of them only fill memory with what will be refused. */
const mostOfPool = 200
/** …and for any, so that no tenant's line makes another's slow. */
const mostWaiting = 2_000

/**
 * Holds what a call can use of each hard budget, at once where leases cover it. Where they do not, homes are asked: the call then
 * waits, and may get less. A stream of which all budgets are `paced` is then paid for as it goes on; any other has its output
 * limited to what is paid.
 * @throws Refusal at once, or later: spent, held by others, unknown, or nothing bounds what it can use
 */
export function takeMoney(deps: LeaseDeps, paying: Paying, nowMs: number): Taken | Promise<Taken> {
  requireBounded(deps, paying, nowMs)
  const atOnce = takeOfOldest(deps, paying, nowMs)
  if (atOnce) return atOnce
  const needs = needsOf(deps, paying, nowMs)
  const tight = paying.tighten && needs.some(isMuch) ? tightened(paying) : paying
  if (tight === paying) return takeOrWait(deps, paying, needs, nowMs)
  const takeTight = (each: Paying): Taken | Promise<Taken> =>
    takeOrWait(deps, each, needsOf(deps, each, nowMs), Date.now())
  return tight instanceof Promise ? tight.then(takeTight) : takeTight(tight)
}

/**
 * What nearly every call finds: one lease of each budget has as much. Undefined: it has to be looked at closely, as what no call before it
 * has met together.
 */
function takeOfOldest(deps: LeaseDeps, paying: Paying, nowMs: number): Taken | undefined {
  const { attemptId, budgets, bound } = paying
  const set = knownSet(deps, budgets, nowMs)
  if (!set) return undefined
  const amounts = amountsOf(paying, bound.outputTokens)
  if (paying.tighten && isMuchOfSome(set.pools, amounts)) return undefined
  const hold = deps.client.wallet.holdOfOldest(attemptId, set, amounts, nowMs)
  return hold && takenWhole(deps, paying, hold, nowMs)
}

function takenWhole({ client }: LeaseDeps, { bound, budgets }: Paying, hold: Hold, nowMs: number): Taken {
  const money = new Money(client, hold, budgets)
  money.askAhead(nowMs)
  return { money, bound, outputTokens: undefined, limitedBy: undefined, isPaced: false }
}

function takeOrWait(deps: LeaseDeps, paying: Paying, needs: readonly Need[], nowMs: number): Taken | Promise<Taken> {
  const hold = deps.client.wallet.hold(paying.attemptId, needs, nowMs)
  return hold ? takenWhole(deps, paying, hold, nowMs) : waitForMoney(deps, paying, needs, nowMs)
}

/** More than this part of what is left would be missed by others: it is worth counting what it really needs. */
const muchOfLeft = 4

/** As far as it was told what is left: of a pool that was never used here nothing is known. */
function isMuch({ pool, want }: Pick<Need, 'pool' | 'want'>): boolean {
  return pool.lastWant > 0 && want * muchOfLeft > pool.left + pool.free
}

function isMuchOfSome(pools: readonly WalletPool[], amounts: readonly number[]): boolean {
  for (let at = 0; at < pools.length; at++) {
    const pool = pools[at]
    if (pool && isMuch({ pool, want: amounts[at] ?? 0 })) return true
  }
  return false
}

/** The same call, by a tighter bound where there is one; nobody looks for another one then. */
function tightened(paying: Paying): Paying | Promise<Paying> {
  const { tighten, ...rest } = paying
  const tight = tighten?.()
  if (tight instanceof Promise) return tight.then(bound => ({ ...rest, bound }))
  return tight ? { ...rest, bound: tight } : paying
}

/** Holds all that a running call can use out of what is here, and goes before those who wait. Undefined: too little is here. */
export function takeNow(deps: LeaseDeps, paying: Paying, nowMs: number): Money | undefined {
  const hold = deps.client.wallet.hold(paying.attemptId, needsOf(deps, paying, nowMs), nowMs, true)
  return hold && new Money(deps.client, hold, paying.budgets)
}

function needsOf(deps: LeaseDeps, paying: Paying, nowMs: number): Need[] {
  const leastTokens = leastTokensOf(paying)
  const pools = poolsOf(deps, paying.budgets, nowMs)
  return paying.budgets.map((matched, at) => {
    const { budget, copy } = matched
    const bound = boundFor(paying, matched)
    return {
      pool: pools[at] ?? poolOf(deps, budget, copy, nowMs),
      want: amountOf(budget, bound, bound.outputTokens),
      need: amountOf(budget, bound, isLoose(budget) ? bound.outputTokens : leastTokens),
    }
  })
}

/** Of budgets that many calls meet, their pools: until a window ends or a pool is forgotten, they are the same. */
const knownPools = new WeakMap<readonly MatchedBudget[], { wallet: Wallet; set: PoolSet }>()

function knownSet({ client }: LeaseDeps, budgets: readonly MatchedBudget[], nowMs: number): PoolSet | undefined {
  const known = knownPools.get(budgets)
  return known?.wallet === client.wallet && areCurrent(known.set.pools, nowMs) ? known.set : undefined
}

function poolsOf(deps: LeaseDeps, budgets: readonly MatchedBudget[], nowMs: number): readonly WalletPool[] {
  const known = knownSet(deps, budgets, nowMs)
  if (known) return known.pools
  const set = new PoolSet(budgets.map(({ budget, copy }) => poolOf(deps, budget, copy, nowMs)))
  knownPools.set(budgets, { wallet: deps.client.wallet, set })
  return set.pools
}

function areCurrent(pools: readonly WalletPool[], nowMs: number): boolean {
  for (const pool of pools) if (pool.isForgotten || !pool.covers(nowMs)) return false
  return true
}

function boundFor(paying: Paying, matched: MatchedBudget): CallBound {
  return paying.boundFor?.(matched) ?? paying.bound
}

function mayPace({ isVisible, bound, budgets }: Paying): boolean {
  return isVisible && bound.outputTokens > trancheTokens && !budgets.some(each => isExact(each.budget))
}

/** Less output than this is of no use. */
function leastTokensOf(paying: Paying): number {
  const { bound } = paying
  return mayPace(paying) ? trancheTokens : bound.clamp ? bound.leastOutputTokens : bound.outputTokens
}

/** So long a call waits for what others hold before less is put into it. */
const wholePatienceMs = 1_000
/** …and for a home that is between two owners. */
const ownerPatienceMs = 2_000
/** Nobody waits long for what bytes say, where tokens can be counted. */
const loosePatienceMs = 300

/** Waits for what bytes say that it can use; where that does not fit, its tokens are counted. */
async function waitForMoney(deps: LeaseDeps, paying: Paying, needs: readonly Need[], nowMs: number): Promise<Taken> {
  const waited = await waitInLine(deps, paying, needs, nowMs, paying.tighten && loosePatienceMs)
  if (waited.outcome === 'unanswered' || waited.outcome === 'crowded') return goWithout(deps, paying, needs, waited)
  if (waited.outcome === 'held') {
    const { hold } = waited
    const bound = isWhole(needs, waited.amounts) ? paying.bound : await tightenedWithin(paying, hold, deps)
    return takenOf(deps, { ...paying, bound }, hold, waited.amounts)
  }
  if (waited.refused.reason === 'other_copy') return takeOfOther(deps, paying, waited.refused)
  const tight = await paying.tighten?.()
  if (!tight || tight.tightness === paying.bound.tightness) throw refusalOf(paying.budgets, waited.refused, needs)
  const again = { ...paying, bound: tight }
  const tightNeeds = needsOf(deps, again, Date.now())
  const then = await waitInLine(deps, again, tightNeeds, Date.now())
  switch (then.outcome) {
    case 'held':
      return takenOf(deps, again, then.hold, then.amounts)
    case 'refused':
      if (then.refused.reason === 'other_copy') return takeOfOther(deps, again, then.refused)
      throw refusalOf(paying.budgets, then.refused, tightNeeds)
    case 'unanswered':
    case 'crowded':
      return goWithout(deps, again, tightNeeds, then)
  }
}

/** Asks once more, now that a home has said that a value shares the copy of all others. Of each value it says so once a window. */
function takeOfOther(deps: LeaseDeps, paying: Paying, refused: Refused): Taken | Promise<Taken> {
  const nowMs = Date.now()
  const { budget_id: budgetId, copy, window_start_ms: windowStartMs } = refused
  const own = paying.budgets.find(each => each.budget.budget_id === budgetId && each.copy === copy)
  const pool = own && poolOf(deps, own.budget, copy, nowMs)
  if (pool?.windowStartMs === windowStartMs) deps.copies.noteOther(budgetId, copy, pool.windowEndMs, nowMs)
  // In the window behind it, it may have a copy.
  const isOther = own && pool?.windowStartMs === windowStartMs
  const again = isOther ? { ...paying, budgets: withOther(paying.budgets, own) } : paying
  return takeOrWait(deps, again, needsOf(deps, again, nowMs), nowMs)
}

/** The tighter bound of a call that holds less than it wanted: the same money pays for more of its output. */
async function tightenedWithin({ tighten, bound }: Paying, hold: Hold, deps: LeaseDeps): Promise<CallBound> {
  try {
    return (await tighten?.()) ?? bound
  } catch (error) {
    deps.client.wallet.release(hold)
    throw error
  }
}

function isWhole(needs: readonly Need[], amounts: readonly number[]): boolean {
  return needs.every(({ want }, at) => amounts[at] === want)
}

function takenOf(deps: LeaseDeps, paying: Paying, hold: Hold, amounts: readonly number[]): Taken {
  const { bound, budgets } = paying
  const money = new Money(deps.client, hold, budgets)
  const each = paidOutputs(paying, amounts)
  const within = Math.min(...each)
  if (within >= bound.outputTokens) return { money, bound, outputTokens: undefined, isPaced: false }
  const limitedBy = budgets[each.indexOf(within)]
  return { money, bound, outputTokens: within, limitedBy, isPaced: mayPace(paying) }
}

/**
 * @param heldMs how long it waits for what others hold; absent: as the line says
 * @throws Refusal where the client has left meanwhile
 */
function waitInLine(
  deps: LeaseDeps,
  paying: Paying,
  needs: readonly Need[],
  nowMs: number,
  heldMs?: number,
): Promise<Exclude<Waited, { outcome: 'left' }>> {
  const { attemptId } = paying
  const { line } = deps.client
  const full = needs.findIndex(({ pool }) => line.length >= mostWaiting || pool.waiting >= mostOfPool)
  const [crowded, asked] = [paying.budgets[full], needs[full]]
  if (crowded && asked) throw tooManyWait(knownOf(deps, crowded, asked.pool.windowEndMs, nowMs))
  const leastTokens = leastTokensOf(paying)
  const isPaced = mayPace(paying)
  const fit = (available: readonly number[]): readonly number[] | undefined => {
    const within = outputWithin(paying, available)
    if (within < leastTokens) return undefined
    return amountsOf(paying, isPaced ? trancheTokens : within)
  }
  return new Promise<Waited>(done => {
    // A stream that is paid for as it goes on is none the worse for beginning with less.
    const wholeMs = isPaced ? 0 : wholePatienceMs
    const patience = { wholeMs, ownerMs: ownerPatienceMs, ...(heldMs !== undefined && { heldMs }) }
    line.wait({ attemptId, needs, fit, done, ...patience }, nowMs)
  }).then(waited => {
    if (waited.outcome === 'left') throw new Refusal('invalid_request', 'The client left before its request was sent.')
    return waited
  })
}

export function poolOf(deps: LeaseDeps, budget: Budget, copy: string, nowMs: number): WalletPool {
  const known = deps.client.wallet.poolAt(budget.budget_id, copy, nowMs)
  if (known) return known
  const isConcurrent = budget.unit === 'concurrent'
  const window = isConcurrent ? undefined : deps.findWindow(budget.window, budget.time_zone, nowMs)
  return deps.client.wallet.pool({
    budgetId: budget.budget_id,
    copy,
    windowStartMs: window?.startMs ?? 0,
    windowEndMs: window?.endMs,
    home: homeOfBudget(budget),
    isConcurrent,
  })
}

function amountsOf(paying: Paying, outputTokens: number): number[] {
  const amounts: number[] = []
  for (const matched of paying.budgets) amounts.push(amountOf(matched.budget, boundFor(paying, matched), outputTokens))
  return amounts
}

function outputWithin(paying: Paying, amounts: readonly number[]): number {
  return Math.min(...withinEach(paying, amounts))
}

function withinEach(paying: Paying, amounts: readonly number[]): number[] {
  return paying.budgets.map((matched, at) =>
    outputWithinOf(matched.budget, boundFor(paying, matched), amounts[at] ?? 0),
  )
}

/** So much output is paid for by what a call holds. A rate limit of which it holds a first part sets none, however small that part may be. */
function paidOutputs(paying: Paying, amounts: readonly number[]): number[] {
  const each = withinEach(paying, amounts)
  return paying.budgets.map(({ budget }, at) => (isLoose(budget) ? paying.bound.outputTokens : (each[at] ?? 0)))
}

function requireBounded(deps: LeaseDeps, paying: Paying, nowMs: number): void {
  if (paying.bound.unboundedBy === undefined) return
  const exact = paying.budgets.find(
    matched => isExact(matched.budget) && boundFor(paying, matched).unboundedBy !== undefined,
  )
  if (!exact) return
  const { unboundedBy } = boundFor(paying, exact)
  const budget = knownNow(deps, exact, nowMs)
  throw new Refusal(
    'budget_not_bounded',
    `Budget ${nameOf(budget)} holds all that a call can cost before it is sent, and nothing bounds what this one can cost: ${unboundedBy}. Set a limit there, or leave it out.`,
    { budget },
  )
}

/** A home has not answered in time: each budget of it says whether a call may go on without, and up to which amount. */
function goWithout(
  deps: LeaseDeps,
  paying: Paying,
  needs: readonly Need[],
  { outcome, pool: { home } }: Extract<Waited, { pool: WalletPool }>,
): Taken {
  const { attemptId, budgets, bound } = paying
  const nowMs = Date.now()
  const refusalOfHome = (at: { need: Need; matched: MatchedBudget }, isAllowanceUsed = false): Refusal => {
    const known = knownOf(deps, at.matched, at.need.pool.windowEndMs, nowMs)
    return outcome === 'crowded' ? tooManyWait(known) : budgetUnavailable(known, isAllowanceUsed)
  }
  const rest: { need: Need; matched: MatchedBudget }[] = []
  const without: { need: Need; matched: MatchedBudget }[] = []
  for (const [at, need] of needs.entries()) {
    const matched = budgets[at]
    if (!matched) continue
    const isKnown = need.pool.home !== home
    ;(isKnown ? rest : without).push({ need, matched })
  }
  const refused = without.find(({ need, matched }) => !deps.allowance.has(matched.budget, need.pool, need.want))
  if (refused) throw refusalOfHome(refused, refused.matched.budget.on_unknown !== 'deny')
  const known = rest.map(({ need }) => need)
  // Of no budget at all nothing is held, and nobody is asked.
  const hold = deps.client.wallet.hold(attemptId, known, nowMs)
  const short = rest[0] ?? without[0]
  if (!short) throw new Error('nothing is needed')
  if (!hold) throw refusalOfHome(short)
  const allowed = without.map(({ need: { pool, want } }) => deps.allowance.take(pool, want))
  const money = new Money(
    deps.client,
    hold,
    rest.map(({ matched }) => matched),
    () => {
      for (const giveBack of allowed) giveBack?.()
    },
  )
  return { money, bound, outputTokens: undefined, isPaced: false }
}

/** A home has more to answer than it comes to. */
export function tooManyWait(budget: RefusalBudget): Refusal {
  const words = `Too many calls wait for budget ${nameOf(budget)}. Please try again in 1s.`
  return new Refusal('budget_held', words, { retryAfterS: 1, budget })
}

/** @param isAllowanceUsed it lets calls go on without an answer, and they have used what they may */
export function budgetUnavailable(budget: RefusalBudget, isAllowanceUsed = false): Refusal {
  const without = isAllowanceUsed
    ? 'what calls may use of it without an answer (on_unknown) does not pay for this one'
    : 'it lets no call go on without'
  const words = `What budget ${nameOf(budget)} has left cannot be asked right now, and ${without}. Try again in a moment.`
  return new Refusal('budget_unavailable', words, { retryAfterS: 1, budget })
}

/** What was told of a budget last, where its home does not say. */
export function knownOf(
  { copies }: Pick<LeaseDeps, 'copies'>,
  { budget, copy }: MatchedBudget,
  resetsAtMs: number | undefined,
  nowMs: number,
): RefusalBudget {
  const { budget_id, name, per, scope, unit, window } = budget
  const { limit, spent, held } = copies.findWindow(budget_id, copy, nowMs) ?? { limit: budget.limit, spent: 0, held: 0 }
  return { budget_id, name, copy, per, scope, unit, limit, spent, held, window, resets_at_ms: resetsAtMs }
}

/** The same, of its window that runs. */
export function knownNow(
  deps: Pick<LeaseDeps, 'copies' | 'findWindow'>,
  matched: MatchedBudget,
  nowMs: number,
): RefusalBudget {
  const { unit, window, time_zone: timeZone } = matched.budget
  const endMs = unit === 'concurrent' ? undefined : deps.findWindow(window, timeZone, nowMs).endMs
  return knownOf(deps, matched, endMs, nowMs)
}

export function refusalOf(budgets: readonly MatchedBudget[], refused: Refused, needs: readonly Need[]): Refusal {
  const { reason, spent, limit } = refused
  const at = budgets.findIndex(each => each.budget.budget_id === refused.budget_id && each.copy === refused.copy)
  const budget = budgets[at]?.budget
  const asked = needs[at]
  if (!budget || !asked || reason === 'unknown_budget' || reason === 'not_open' || reason === 'fenced')
    return new Refusal('budget_held', 'A budget of this call has changed this moment. Try again.', { retryAfterS: 1 })
  // Its home counts as held what lies here, too little for this call: no call has it.
  const held = Math.max(0, refused.held - asked.pool.free)
  if (reason === 'spent')
    return refusalOfSpent(budget, { copy: refused.copy, limit, spent, held, need: asked.need }, asked.pool.windowEndMs)
  if (isRateLimit(budget)) return refusalOfHeldRate(budget, { ...refused, held }, asked.pool.windowEndMs, Date.now())
  const about = heldBudget(budget, { ...refused, held }, asked)
  return new Refusal(
    'budget_held',
    `What budget ${nameOf(about)} has left is held by calls that run now. Please try again in ${heldRetryS}s.`,
    { retryAfterS: heldRetryS, budget: about },
  )
}

function heldBudget(budget: Budget, { copy, limit, spent, held }: Refused, { pool, need }: Need): RefusalBudget {
  const { budget_id, name, per, scope, unit, window } = budget
  return { budget_id, name, copy, per, scope, unit, limit, spent, held, need, window, resets_at_ms: pool.windowEndMs }
}
