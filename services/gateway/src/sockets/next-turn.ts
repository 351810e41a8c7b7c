import { randomUUIDv7 } from 'node:crypto'
import type { BudgetUnit, CallBound } from '../bounds/call-bound.ts'
import { noBound } from '../bounds/realtime-bound.ts'
import type { MatchedBudget } from '../budget-index.ts'
import type { Money } from '../leases/money.ts'
import { type LeaseDeps, type Paying, takeMoney, takeNow } from '../leases/take-money.ts'
import { Refusal } from '../refusal.ts'

/** What the next turn counts against, as things stand now. */
export interface ExpectedTurn {
  hard: readonly MatchedBudget[]
  bound: CallBound
}

/** Money of a turn, under the id that its attempt will have. */
export interface HeldTurn {
  eventId: string
  money: Money
}

export interface NextTurnOptions {
  leases: LeaseDeps
  /** @throws Refusal where no turn may be now */
  expect: () => ExpectedTurn
  /** Money was asked for and is not there: why. Once it is there again: undefined. */
  onMoney: (refusal: Refusal | undefined) => void
}

/** How often money is asked for again where there was none. */
const askAgainMs = 5_000
/** No window is waited for longer at once. */
const longestTimerMs = 24 * 60 * 60_000

/**
 * Money for a session's next turn, held before anybody asks for it: the provider may begin one by itself at any moment. Held
 * again when a turn takes it, when its window ends, and when prices have risen; while it is wanting, asked for now and then.
 */
export class NextTurn {
  readonly #options: NextTurnOptions
  #held: KeptTurn | undefined
  #holding: Promise<void> | undefined
  #refusal: Refusal | undefined
  #timer: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(options: NextTurnOptions) {
    this.#options = options
  }

  /** Resolves when it is known whether there is money. Undefined: it is known. */
  get holding(): Promise<void> | undefined {
    return this.#holding
  }

  /** Sees to it that the next turn is paid for, where some hard budget counts it. */
  hold(): void {
    if (this.#isClosed || this.#holding) return
    try {
      const expected = this.#options.expect()
      const { hard, bound } = expected
      const nowMs = Date.now()
      if (this.#held && isGood(this.#held, expected, nowMs)) {
        this.#wake(this.#held.untilMs - nowMs)
        return
      }
      this.#letGo()
      if (hard.length === 0) {
        this.#tell(undefined)
        return
      }
      const eventId = randomUUIDv7()
      const taking = takeMoney(
        this.#options.leases,
        { attemptId: eventId, budgets: hard, bound, isVisible: false },
        nowMs,
      )
      if (!(taking instanceof Promise)) {
        this.#keep({ eventId, money: taking.money, bound })
        return
      }
      this.#holding = taking
        .then(
          ({ money }) => this.#keep({ eventId, money, bound }),
          (error: unknown) => this.#fail(error),
        )
        .finally(() => {
          this.#holding = undefined
        })
    } catch (error) {
      this.#fail(error)
    }
  }

  /**
   * What is held, for a turn that begins now and counts against these budgets; slots of a turn beside another are waited for.
   * Undefined: nothing is held, or of others, or too little. @throws Refusal, at once or later: there is no slot for it
   */
  take(begun: ExpectedTurn): HeldTurn | Promise<HeldTurn> | undefined {
    const taken = this.#takeHeld(begun)
    if (!taken || taken.slots.length === 0) return taken?.held
    try {
      const taking = takeMoney(this.#options.leases, payingFor(taken), Date.now())
      if (!(taking instanceof Promise)) return withSlots(taken, taking.money)
      return taking.then(
        ({ money }) => withSlots(taken, money),
        (error: unknown) => {
          taken.held?.money.release()
          throw error
        },
      )
    } catch (error) {
      taken.held?.money.release()
      throw error
    }
  }

  /** The same for a turn that runs already, and waits for nothing. */
  takeNow(begun: ExpectedTurn): HeldTurn | undefined {
    const taken = this.#takeHeld(begun)
    if (!taken || taken.slots.length === 0) return taken?.held
    const slots = takeNow(this.#options.leases, payingFor(taken), Date.now())
    if (slots) return withSlots(taken, slots)
    taken.held?.money.release()
    return undefined
  }

  #takeHeld({ hard, bound }: ExpectedTurn): TakenTurn | undefined {
    const held = this.#held
    this.#held = undefined
    if (held) clearTimeout(this.#timer)
    const slots = hard.filter(each => isSlot(each) && !held?.money.budgets.some(other => isSame(each, other)))
    const others = hard.filter(each => !slots.includes(each))
    const eventId = held?.eventId ?? randomUUIDv7()
    // Where there are only slots, nothing is held behind a turn that runs.
    if (held ? isGood(held, { hard: others, bound }, Date.now()) : others.length === 0) return { eventId, held, slots }
    held?.money.release()
    return undefined
  }

  /** The session is over. */
  close(): void {
    this.#isClosed = true
    this.#letGo()
  }

  #keep(turn: Omit<KeptTurn, 'untilMs'>): void {
    const { money } = turn
    if (this.#isClosed) {
      money.release()
      return
    }
    const untilMs = money.windowEndMs ?? Number.POSITIVE_INFINITY
    this.#held = { ...turn, untilMs }
    this.#wake(untilMs - Date.now())
    this.#tell(undefined)
  }

  #fail(error: unknown): void {
    if (this.#isClosed) return
    // No turn may be for which anything could be held.
    this.#letGo()
    this.#wake(askAgainMs)
    this.#tell(
      error instanceof Refusal
        ? error
        : new Refusal('internal', 'What the next turn may cost could not be held.', { cause: error }),
    )
  }

  #wake(inMs: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.hold(), Math.min(Math.max(0, inMs), longestTimerMs)).unref()
  }

  #letGo(): void {
    clearTimeout(this.#timer)
    this.#held?.money.release()
    this.#held = undefined
  }

  #tell(refusal: Refusal | undefined): void {
    const isNews = refusal !== undefined || this.#refusal !== undefined
    this.#refusal = refusal
    if (isNews) this.#options.onMoney(refusal)
  }

  /** Why there is no money, where there is none. */
  get refusal(): Refusal | undefined {
    return this.#refusal
  }
}

/** Money that waits for its turn. */
interface KeptTurn extends HeldTurn {
  /** What it was held for. */
  bound: CallBound
  untilMs: number
}

/** What was held for a turn, and the slots that it has to have besides. */
interface TakenTurn {
  eventId: string
  held: HeldTurn | undefined
  slots: readonly MatchedBudget[]
}

function payingFor({ eventId, slots }: TakenTurn): Paying {
  return { attemptId: eventId, budgets: slots, bound: noBound, isVisible: false }
}

function withSlots({ eventId, held }: TakenTurn, slots: Money): HeldTurn {
  held?.money.join(slots)
  return held ?? { eventId, money: slots }
}

/** What limits how many turns run at a time. */
export function isSlot({ budget }: MatchedBudget): boolean {
  return budget.unit === 'concurrent'
}

/** Whether two turns count against the same budgets. */
export function areSame(some: readonly MatchedBudget[], others: readonly MatchedBudget[]): boolean {
  return some.length === others.length && some.every((each, at) => isSame(each, others[at]))
}

function isSame({ budget, copy }: MatchedBudget, other: MatchedBudget | undefined): boolean {
  return other?.budget.budget_id === budget.budget_id && other.copy === copy
}

function isGood({ money, untilMs, bound: held }: KeptTurn, { hard, bound }: ExpectedTurn, nowMs: number): boolean {
  return (
    nowMs < untilMs &&
    areSame(money.budgets, hard) &&
    hard.every(({ budget: { unit } }) => wholeOf(held, unit) >= wholeOf(bound, unit))
  )
}

function wholeOf(bound: CallBound, unit: BudgetUnit): number {
  return bound.amount(unit, bound.outputTokens)
}

/** Sees that there is money for a turn, and leaves it where it is. @throws Refusal */
export async function requireMoneyFor({ hard, bound }: ExpectedTurn, leases: LeaseDeps): Promise<void> {
  if (hard.length === 0) return
  const taken = await takeMoney(
    leases,
    { attemptId: randomUUIDv7(), budgets: hard, bound, isVisible: false },
    Date.now(),
  )
  taken.money.release()
}
