import { randomUUIDv7 } from 'node:crypto'
import type { CallBound } from '../bounds/call-bound.ts'
import type { MatchedBudget } from '../budget-index.ts'
import type { Money } from '../leases/money.ts'
import { type LeaseDeps, takeMoney } from '../leases/take-money.ts'
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
 * again when a turn takes it and when its window ends; while it is wanting, asked for now and then.
 */
export class NextTurn {
  readonly #options: NextTurnOptions
  #held: (HeldTurn & { untilMs: number }) | undefined
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
      const { hard, bound } = this.#options.expect()
      const nowMs = Date.now()
      if (this.#held && this.#isGood(this.#held, hard, nowMs)) return
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
        this.#keep(eventId, taking.money)
        return
      }
      this.#holding = taking
        .then(
          ({ money }) => this.#keep(eventId, money),
          (error: unknown) => this.#fail(error),
        )
        .finally(() => {
          this.#holding = undefined
        })
    } catch (error) {
      this.#fail(error)
    }
  }

  /** What is held, for a turn that begins now and counts against these budgets. Undefined: nothing is, or of others. */
  take(hard: readonly MatchedBudget[]): HeldTurn | undefined {
    const held = this.#held
    if (!held) return undefined
    this.#held = undefined
    clearTimeout(this.#timer)
    if (this.#isGood(held, hard, Date.now())) return held
    held.money.release()
    return undefined
  }

  /** The session is over. */
  close(): void {
    this.#isClosed = true
    this.#letGo()
  }

  #isGood(
    { money, untilMs }: { money: Money; untilMs: number },
    hard: readonly MatchedBudget[],
    nowMs: number,
  ): boolean {
    const { budgets } = money
    return (
      nowMs < untilMs &&
      budgets.length === hard.length &&
      hard.every(
        ({ budget, copy }, at) => budgets[at]?.budget.budget_id === budget.budget_id && budgets[at].copy === copy,
      )
    )
  }

  #keep(eventId: string, money: Money): void {
    if (this.#isClosed) {
      money.release()
      return
    }
    const untilMs = money.windowEndMs ?? Number.POSITIVE_INFINITY
    this.#held = { eventId, money, untilMs }
    this.#wake(untilMs - Date.now())
    this.#tell(undefined)
  }

  #fail(error: unknown): void {
    if (this.#isClosed) return
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
