import { drawnTotals, handedLeaseId, type LeaseHeartbeat, type LeaseReport, type LeaseTotals } from '@sluice/contracts'
import type { Hold } from '../hold.ts'
import { type HandedLeases, type JournaledHold, JournaledLeases } from '../journaled-leases.ts'
import { WaitingLine } from '../waiting-line.ts'
import { type OpenAsk, type SettledHold, Wallet } from '../wallet.ts'
import type { PoolName } from '../wallet-pool.ts'
import type { SimulatedHome } from './simulated-home.ts'
import type { World } from './world.ts'

/** A record of a simulated journal. */
type JournalRecord =
  | { type: 'lease'; totals: LeaseTotals }
  | { type: 'open'; attemptId: string; holds: JournaledHold[]; holder?: string }
  | {
      type: 'close'
      attemptId: string
      totals: [string, number][]
      unresolved: [string, number][]
      handed?: HandedLeases
    }

/** What simulated calls have come to, told from outside: what the provider charges, and what is on record. */
export interface Books {
  /** @param beyond of it nobody held */
  charge: (pools: readonly PoolName[], amount: number, beyond?: number) => void
  settle: (pools: readonly PoolName[], settled: number, unresolved: number) => void
  /** What has been begun ends later, whoever is alive then: it costs so much, and these leases of its holder pay for it. */
  begun: (pools: readonly PoolName[], cost: number, leases: readonly HeldLease[]) => void
  refused: (reason: string) => void
  held: (isLocal: boolean) => void
}

/** A lease of a holder, as who made it knows it. */
export interface HeldLease {
  holder: string
  leaseId: string
  pool: Pick<PoolName, 'budgetId' | 'copy' | 'windowStartMs'>
  granted: number
}

export interface SimulatedCall {
  pools: readonly PoolName[]
  bound: number
  need: number
  cost: number
  lastsMs: number
  /** Nobody learns what it has used. */
  isUnmeasured: boolean
  /** It makes a batch, whose results are settled by whoever looks. */
  isBatch: boolean
  /** It gives back a part of what it holds while it runs, now and then too much, and leaves nothing unresolved. */
  isPaced: boolean
}

interface Running extends SimulatedCall {
  attemptId: string
  hold: Hold
}

const wholeListMs = 10_000
/** A twelfth of what it is: in a life of a minute or two it is to end often. */
const ttlMs = 5_000

/** A gateway: a wallet, a journal that survives it, and calls. */
export class SimulatedGateway {
  gatewayId: string
  epoch = 1
  isUp = true
  readonly #world: World
  /** How far its clock is before that of the homes. */
  readonly #aheadMs: number
  readonly #homes: readonly SimulatedHome[][]
  readonly #books: Books
  readonly #nextOf: (pool: PoolName) => PoolName | undefined
  #wallet: Wallet
  #line: WaitingLine
  #journal: JournalRecord[] = []
  #running = new Map<string, Running>()
  #attempts = 0
  #run = 0
  #lastWholeMs = 0
  /** By home, when the last message that it has answered was sent. */
  #heardMs = new Map<number, number>()
  /** By lease that was called back, when it ends. */
  #recalledMs = new Map<string, number>()
  #hellos: { gatewayId: string; endedEpoch: number; leases: LeaseTotals[]; home: number }[] = []

  constructor(
    gatewayId: string,
    world: World,
    homes: readonly SimulatedHome[][],
    books: Books,
    nextOf: (pool: PoolName) => PoolName | undefined,
    aheadMs: number,
  ) {
    this.gatewayId = gatewayId
    this.#world = world
    this.#homes = homes
    this.#books = books
    this.#nextOf = nextOf
    this.#aheadMs = aheadMs
    this.#wallet = new Wallet({ gatewayId, epoch: 1, nextOf, ttlMs })
    this.#line = new WaitingLine(this.#wallet, { send: ask => this.#sendAsk(ask) })
    this.#start()
  }

  get nowMs(): number {
    return this.#world.nowMs + this.#aheadMs
  }

  get running(): number {
    return this.#running.size
  }

  get wallet(): Wallet {
    return this.#wallet
  }

  #start(): void {
    const run = ++this.#run
    const repeat = (everyMs: number, work: () => void): void => {
      const tick = (): void => {
        if (!this.isUp || run !== this.#run) return
        work()
        this.#world.clock.after(everyMs, tick)
      }
      this.#world.clock.after(this.#world.between(1, everyMs), tick)
    }
    repeat(100, () => this.#report())
    repeat(250, () => this.#line.poll(this.nowMs))
    repeat(500, () => this.#repeatAsks())
    repeat(500, () => this.#sayHello())
    repeat(1_000, () => this.#beat())
    repeat(1_000, () => {
      this.#wallet.returnIdle(this.nowMs)
      for (const ask of this.#wallet.askNextWindows(this.nowMs)) this.#sendAsk(ask)
    })
  }

  // ── calls ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  call(call: SimulatedCall): void {
    if (!this.isUp) return
    const attemptId = `${this.gatewayId}-${this.epoch}-a${++this.#attempts}`
    const run = this.#run
    const needs = call.pools.map(name => ({ pool: this.#wallet.pool(name), want: call.bound, need: call.need }))
    const hold = this.#wallet.hold(attemptId, needs, this.nowMs)
    if (hold) {
      this.#books.held(true)
      this.#begin({ ...call, attemptId, hold })
      return
    }
    this.#line.wait(
      {
        attemptId,
        needs,
        // All budgets of a call hold the same.
        fit: available => available.map(() => Math.min(...available)),
        done: waited => {
          if (run !== this.#run) return
          if (waited.outcome === 'held') {
            this.#books.held(false)
            const bound = Math.min(...waited.amounts)
            this.#begin({ ...call, bound, cost: Math.min(call.cost, bound), attemptId, hold: waited.hold })
          } else this.#books.refused(waited.outcome === 'refused' ? waited.refused.reason : waited.outcome)
        },
      },
      this.nowMs,
    )
  }

  /** Told by messages alone, whatever the wallet makes of them. */
  #requireLasting({ items }: Hold): void {
    const nowMs = this.nowMs
    for (const { pool, parts } of items)
      for (const { lease } of parts) {
        const endMs = Math.min(
          this.#ttlEndMs(pool.home),
          this.#recalledMs.get(lease.leaseId) ?? Number.POSITIVE_INFINITY,
        )
        if (nowMs >= endMs)
          this.#world.violate(`a call holds money of lease ${lease.leaseId}, which ended at ${endMs} ms`)
      }
  }

  #ttlEndMs(home: number): number {
    return (this.#heardMs.get(home) ?? Number.NEGATIVE_INFINITY) + ttlMs
  }

  #heard(home: number, sentAtMs: number): void {
    this.#heardMs.set(home, Math.max(sentAtMs, this.#heardMs.get(home) ?? 0))
  }

  #begin(call: Running): void {
    this.#requireLasting(call.hold)
    const holder = call.isBatch ? `batch_${call.attemptId}` : undefined
    this.#journal.push({
      type: 'open',
      attemptId: call.attemptId,
      ...(holder !== undefined && { holder }),
      holds: call.hold.items.map(({ pool, parts }) => ({
        budget_id: pool.budgetId,
        copy: pool.copy,
        window_start_ms: pool.windowStartMs,
        unit: pool.isConcurrent ? 'concurrent' : 'usd',
        ...(!call.isPaced && { exact: true }),
        parts: parts.map(({ lease, amount }) => [lease.leaseId, amount]),
      })),
    })
    this.#running.set(call.attemptId, call)
    const pools = call.hold.items.map(({ pool }) => pool)
    for (const ask of this.#wallet.askAhead(pools, this.nowMs)) this.#sendAsk(ask)
    const run = this.#run
    const later = (afterMs: number, work: () => void) =>
      this.#world.clock.after(afterMs, () => {
        if (this.isUp && run === this.#run) work()
      })
    if (call.isPaced) later(Math.floor(call.lastsMs / 2), () => this.#lower(call))
    later(call.lastsMs, () => this.#end(call))
  }

  #lower(call: Running): void {
    call.bound = this.#world.chance(0.2)
      ? this.#world.between(0, call.cost)
      : call.cost + Math.floor((call.bound - call.cost) / 2)
    for (const item of call.hold.items) this.#wallet.lower(item, call.bound)
    // So much stays in any case.
    call.bound = Math.max(1, call.bound)
    this.#line.poll(this.nowMs)
  }

  #end(call: Running): void {
    this.#running.delete(call.attemptId)
    if (call.isBatch) {
      this.#handOver(call)
      return
    }
    this.#books.charge(call.pools, call.cost, Math.max(0, call.cost - call.bound))
    const isUnmeasured = call.isUnmeasured && !call.isPaced
    const used = isUnmeasured ? this.#world.between(0, call.cost) : call.cost
    const settled = this.#wallet.settle(
      call.hold,
      call.pools.map(() => used),
      isUnmeasured,
    )
    this.#journal.push({
      type: 'close',
      attemptId: call.attemptId,
      totals: this.#totalsOf(settled),
      unresolved: settled.unresolved,
    })
    this.#books.settle(call.pools, used, isUnmeasured ? call.bound - used : 0)
    this.#line.poll(this.nowMs)
  }

  #totalsOf({ drawn }: SettledHold): [string, number][] {
    return drawnTotals(this.gatewayId, this.epoch, drawn)
  }

  #handOver(call: Running): void {
    const holder = `batch_${call.attemptId}`
    const { leases } = heldLeases(call, holder)
    const settled = this.#wallet.settle(call.hold, [], false, holder)
    this.#journal.push({
      type: 'close',
      attemptId: call.attemptId,
      totals: this.#totalsOf(settled),
      unresolved: settled.unresolved,
      handed: { holder, leases: settled.handed },
    })
    this.#books.begun(call.pools, call.cost, leases)
  }

  // ── death and what comes after ────────────────────────────────────────────────────────────────────────────────────

  /** Everything but the journal is gone; what ran is charged by the provider, nobody knows how much. */
  kill(): void {
    this.isUp = false
    for (const { pools, bound, isBatch, isPaced } of this.#running.values())
      if (!isBatch && !isPaced) this.#books.charge(pools, this.#world.between(0, bound))
  }

  /** Ends the journal of the run that was killed; who says hello for it gets what it says. */
  #replay(): LeaseTotals[] {
    const journaled = new JournaledLeases(this.epoch)
    const closed = new Set<string>()
    for (const record of this.#journal) {
      if (record.type === 'lease') journaled.state(record.totals)
      else if (record.type === 'open') journaled.hold(record.holds)
      else {
        closed.add(record.attemptId)
        journaled.settle(record.attemptId, record.totals, record.unresolved, record.handed)
      }
    }
    for (const record of this.#journal) {
      if (record.type !== 'open' || closed.has(record.attemptId)) continue
      const call = this.#running.get(record.attemptId)
      if (!call) throw new Error(`attempt ${record.attemptId} is open in the journal alone`)
      if (record.holder !== undefined) {
        journaled.settleKilled(record.attemptId, record.holds, [], record.holder)
        // It may have come to its provider, or not.
        const cost = this.#world.chance(0.5) ? call.cost : 0
        this.#books.begun(call.pools, cost, heldLeases(call, record.holder).leases)
        continue
      }
      const used = this.#world.between(0, Math.floor(call.bound / 2))
      journaled.settleKilled(
        record.attemptId,
        record.holds,
        record.holds.map(() => used),
      )
      // What it has used is known at its last checkpoint: that is all that it is charged for here.
      if (call.isPaced) this.#books.charge(call.pools, used)
      this.#books.settle(call.pools, used, call.isPaced ? 0 : call.bound - used)
    }
    this.#running.clear()
    this.#journal = []
    return journaled.totals()
  }

  /** Begins the next run over the same journal. */
  restart(): void {
    const leases = this.#replay()
    const endedEpoch = this.epoch
    this.#begun(this.gatewayId, this.epoch + 1)
    this.tellEnded(this.gatewayId, endedEpoch, leases)
  }

  /** A sibling takes the journal; its machine begins as another gateway. */
  adoptedBy(sibling: SimulatedGateway, newId: string): void {
    const leases = this.#replay()
    sibling.tellEnded(this.gatewayId, this.epoch, leases)
    this.#begun(newId, 1)
  }

  #begun(gatewayId: string, epoch: number): void {
    this.gatewayId = gatewayId
    this.epoch = epoch
    this.#wallet = new Wallet({ gatewayId, epoch, nextOf: this.#nextOf, ttlMs })
    this.#line = new WaitingLine(this.#wallet, { send: ask => this.#sendAsk(ask) })
    this.#heardMs = new Map()
    this.#recalledMs = new Map()
    this.isUp = true
    this.#start()
  }

  /** Survives this process, as the ended journal does. */
  tellEnded(gatewayId: string, endedEpoch: number, leases: LeaseTotals[]): void {
    for (const home of this.#homes.keys())
      this.#hellos.push({
        gatewayId,
        endedEpoch,
        home,
        leases: leases.filter(({ budget_id: budgetId }) => homeOf(budgetId) === home),
      })
  }

  // ── messages ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Requests reach whoever takes himself for the owner. */
  #request<Reply>(
    home: number,
    deliver: (to: SimulatedHome, reply: (answer: Reply) => void) => void,
    got: (answer: Reply) => void,
  ): void {
    const run = this.#run
    const from = this.gatewayId
    for (const instance of this.#homes[home] ?? [])
      this.#world.send(from, instance.name, () =>
        deliver(instance, answer =>
          this.#world.send(instance.name, from, () => {
            if (this.isUp && run === this.#run) got(answer)
          }),
        ),
      )
  }

  #sendAsk(ask: OpenAsk): void {
    const sentAtMs = this.nowMs
    this.#request<Parameters<Wallet['answer']>[0]>(
      ask.home,
      (home, reply) => home.ask(ask.message, reply),
      answer => {
        if (answer.refusal?.reason !== 'fenced') this.#heard(ask.home, sentAtMs)
        this.#wallet.answer(answer, this.nowMs)
        this.#line.answered(answer, this.nowMs)
      },
    )
  }

  #repeatAsks(): void {
    for (const ask of this.#wallet.openAsks) if (this.nowMs - ask.sentAtMs >= 500) this.#sendAsk(ask)
  }

  #report(): void {
    // A segment begins with every lease; the ones before it may go.
    if (this.#journal.length > 200 && this.#running.size === 0)
      this.#journal = this.#wallet.totals().map(totals => ({ type: 'lease', totals }))
    for (const { home, message } of this.#wallet.reports(this.nowMs))
      this.#request<Parameters<Wallet['reported']>[2]>(
        home,
        (instance, reply) => instance.report(message, reply),
        receipt => this.#wallet.reported(home, message, receipt),
      )
  }

  #beat(): void {
    const sentAtMs = this.nowMs
    const isWhole = sentAtMs - this.#lastWholeMs >= wholeListMs
    if (isWhole) this.#lastWholeMs = sentAtMs
    for (const { home, messages } of this.#wallet.heartbeats(sentAtMs, isWhole))
      this.#beatHome(home, messages, sentAtMs)
  }

  #beatHome(home: number, [message, ...rest]: readonly LeaseHeartbeat[], sentAtMs: number): void {
    if (!message) return
    this.#request<Parameters<Wallet['renewed']>[2]>(
      home,
      (instance, reply) => instance.heartbeat(message, reply),
      receipt => {
        if (!receipt.fenced) this.#heard(home, sentAtMs)
        this.#wallet.renewed(home, sentAtMs, receipt)
        if (receipt.unknown.length === 0 && !receipt.fenced) this.#beatHome(home, rest, sentAtMs)
      },
    )
  }

  #sayHello(): void {
    for (const hello of this.#hellos) {
      const { gatewayId, endedEpoch, leases, home } = hello
      this.#request(
        home,
        (instance, reply: (receipt: unknown) => void) =>
          instance.hello(
            { gateway_id: gatewayId, ended_epoch: endedEpoch, at_ms: this.nowMs, leases, more: false },
            reply,
          ),
        () => {
          this.#hellos = this.#hellos.filter(each => each !== hello)
        },
      )
    }
  }

  /** Tells a home what has become of leases of a holder. @param got called when it is answered */
  tellHolder(home: number, report: LeaseReport, got: () => void): void {
    this.#request(home, (instance, reply: (receipt: unknown) => void) => instance.report(report, reply), got)
  }

  recall(leaseIds: string[]): void {
    if (!this.isUp) return
    for (const totals of this.#wallet.totals())
      if (leaseIds.includes(totals.lease_id) && !this.#recalledMs.has(totals.lease_id))
        this.#recalledMs.set(totals.lease_id, this.#ttlEndMs(homeOf(totals.budget_id)))
    this.#wallet.recall(leaseIds)
    this.#report()
  }

  get isQuiet(): boolean {
    return this.#hellos.length === 0 && this.#line.length === 0 && this.#wallet.openAsks.length === 0
  }
}

function heldLeases({ hold }: Running, holder: string): { leases: HeldLease[] } {
  return {
    leases: hold.items.flatMap(({ pool, parts }) =>
      parts.map(({ lease, amount }) => ({
        holder,
        leaseId: handedLeaseId(holder, lease.leaseId),
        pool,
        granted: amount,
      })),
    ),
  }
}

/** The last digit of a simulated budget's id says where its home is. */
export function homeOf(budgetId: string): number {
  return Number(budgetId.at(-1))
}
