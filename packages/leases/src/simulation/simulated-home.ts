import type { LeaseAnswer, LeaseAsk, LeaseHeartbeat, LeaseHello, LeaseReceipt, LeaseReport } from '@sluice/contracts'
import { decideAsk } from '../decide-ask.ts'
import { type DecidedReport, decideHeartbeat, decideHello, decideReport, decideSilence } from '../decide-report.ts'
import { emptyHome, evolve, type HomeEvent, type HomeState } from '../home-state.ts'
import { leftOf, type Pool } from '../pool.ts'
import type { World } from './world.ts'

const ownedMs = 3_000
const renewMs = 1_000
const recallMs = 150

/** One home as the database has it: what survives every owner. Transactions are one at a time. */
export class HomeDatabase {
  readonly state: HomeState = emptyHome()
  owner = ''
  term = 0
  expiresAtMs = 0

  /** The row of its owner, locked: false where it is another's, or was, too long ago. */
  isOwnedBy(owner: string, term: number, nowMs: number): boolean {
    return this.owner === owner && this.term === term && nowMs < this.expiresAtMs
  }
}

export interface HomeRules {
  silentMs: number
  isOpen: (pool: Pool, nowMs: number) => boolean
  recall: (gatewayId: string, leaseIds: string[], from: string) => void
}

/** One of the budget services that take turns at a home. */
export class SimulatedHome {
  readonly name: string
  readonly #world: World
  readonly #database: HomeDatabase
  readonly #rules: HomeRules
  #term: number | undefined
  isUp = true

  constructor(name: string, world: World, database: HomeDatabase, rules: HomeRules) {
    this.name = name
    this.#world = world
    this.#database = database
    this.#rules = rules
    world.clock.after(world.between(1, renewMs), () => this.#own())
    world.clock.after(world.between(1, 5_000), () => this.#listen())
  }

  crash(): void {
    this.isUp = false
    this.#term = undefined
  }

  #own(): void {
    this.#world.clock.after(renewMs, () => this.#own())
    if (!this.isUp) return
    const { nowMs } = this.#world
    const database = this.#database
    if (this.#term !== undefined && database.isOwnedBy(this.name, this.#term, nowMs))
      database.expiresAtMs = nowMs + ownedMs
    else if (nowMs >= database.expiresAtMs) {
      database.owner = this.name
      this.#term = ++database.term
      database.expiresAtMs = nowMs + ownedMs
    } else this.#term = undefined
  }

  /** Gateways that are silent for long. */
  #listen(): void {
    this.#world.clock.after(5_000, () => this.#listen())
    this.#transact(() => {
      for (const { gatewayId, heardAtMs } of this.#database.state.gateways.values())
        if (this.#world.nowMs - heardAtMs > this.#rules.silentMs)
          this.#apply(decideSilence(this.#database.state, gatewayId))
    })
  }

  #transact<T>(work: (term: number) => T): T | undefined {
    const term = this.#term
    if (!this.isUp || term === undefined) return undefined
    if (!this.#database.isOwnedBy(this.name, term, this.#world.nowMs)) {
      this.#term = undefined
      return undefined
    }
    return work(term)
  }

  #apply(events: readonly HomeEvent[]): void {
    const { state } = this.#database
    for (const event of events) {
      evolve(state, event)
      if (event.type !== 'lease-granted') continue
      const pool = state.pools.get(event.lease.pool)
      if (pool && leftOf(pool) < 0)
        this.#world.violate(`a grant lifts pool ${pool.key} to ${-leftOf(pool)} above its limit`)
    }
  }

  ask(ask: LeaseAsk, reply: (answer: LeaseAnswer) => void, recalled = false): void {
    const answer = this.#transact(term => {
      const { state } = this.#database
      const decided = decideAsk(state, ask, {
        nowMs: this.#world.nowMs,
        term,
        gateways: Math.max(1, state.gateways.size),
        recalled,
        isOpen: (pool, late) => late || this.#rules.isOpen(pool, this.#world.nowMs),
      })
      if (decided === 'recall') return decided
      this.#apply(decided.events)
      return decided.answer
    })
    if (answer === 'recall') {
      this.#recallFor(ask)
      this.#world.clock.after(recallMs, () => this.ask(ask, reply, true))
    } else if (answer) reply(answer)
  }

  #recallFor(ask: LeaseAsk): void {
    const asked = new Set(ask.items.map(item => item.budget_id))
    // Who asks has used up its own.
    this.#recall(({ budgetId }, gatewayId) => gatewayId !== ask.gateway_id && asked.has(budgetId))
  }

  #recall(isMeant: (pool: Pool, gatewayId: string) => boolean): void {
    const byGateway = new Map<string, string[]>()
    for (const lease of this.#database.state.leases.values()) {
      const pool = this.#database.state.pools.get(lease.pool)
      if (lease.state !== 'open' || !pool || !isMeant(pool, lease.gatewayId)) continue
      byGateway.set(lease.gatewayId, [...(byGateway.get(lease.gatewayId) ?? []), lease.leaseId])
    }
    for (const [gatewayId, leaseIds] of byGateway) this.#rules.recall(gatewayId, leaseIds, this.name)
  }

  /** A person changes the limit of a budget; where it is lowered, what gateways have is called back. */
  changeLimit(key: string, limit: number): void {
    this.#transact(() => {
      const { pools } = this.#database.state
      const pool = pools.get(key)
      if (!pool) return
      pools.set(key, { ...pool, limit })
      if (limit < pool.limit) this.#recall(other => other.key === key)
    })
  }

  report(report: LeaseReport, reply: (receipt: LeaseReceipt) => void): void {
    this.#receive(state => decideReport(state, report, this.#world.nowMs), reply)
  }

  hello(hello: LeaseHello, reply: (receipt: LeaseReceipt) => void): void {
    this.#receive(state => decideHello(state, hello, this.#world.nowMs), reply)
  }

  heartbeat(heartbeat: LeaseHeartbeat, reply: (receipt: LeaseReceipt) => void): void {
    this.#receive(state => decideHeartbeat(state, heartbeat, this.#world.nowMs), reply)
  }

  #receive(decide: (state: HomeState) => DecidedReport, reply: (receipt: LeaseReceipt) => void): void {
    const receipt = this.#transact((term): LeaseReceipt => {
      const { events, unknown, fenced } = decide(this.#database.state)
      this.#apply(events)
      return { term, at_ms: this.#world.nowMs, unknown, fenced }
    })
    if (receipt) reply(receipt)
  }
}
