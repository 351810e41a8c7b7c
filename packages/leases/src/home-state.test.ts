import assert from 'node:assert/strict'
import test from 'node:test'
import type { LeaseAnswer, LeaseAsk, LeaseTotals } from '@sluice/contracts'
import fc from 'fast-check'
import {
  decideAsk,
  decideHeartbeat,
  decideHello,
  decideReport,
  decideResolved,
  decideSilence,
  emptyHome,
  evolve,
  type HomeEvent,
  type HomeState,
  leftOf,
  poolKey,
  spentOf,
} from './index.ts'
import { weightOf } from './lease.ts'

const gateways = ['gw_a', 'gw_b'] as const
const budgets = ['bud_1', 'bud_2'] as const
const pooled = (budget_id: string) => ({ budget_id, copy: '', window_start_ms: 0 })
const keyOf = (budgetId: string) => poolKey(budgetId, '', 0)

/** One home, what was ever said to it, and what gateways have been granted. */
class Life {
  readonly state = emptyHome()
  readonly #epochs = new Map<string, number>()
  readonly #asks: { ask: LeaseAsk; answer: LeaseAnswer }[] = []
  /** Anything that may come again, whenever it likes. */
  readonly #said: (() => readonly HomeEvent[])[] = []
  /** By lease: what its gateway has said of it last. */
  readonly totals = new Map<string, LeaseTotals>()
  #nowMs = 1_000
  #seq = 0

  constructor(limits: readonly number[]) {
    for (const [at, limit] of limits.entries()) {
      const budgetId = budgets[at] ?? ''
      const sums = { unleased: 0, settled: 0, unresolved: 0, outstanding: 0 }
      const pool = { key: keyOf(budgetId), budgetId, copy: '', windowStartMs: 0, limit, ...sums }
      this.state.pools.set(pool.key, pool)
    }
  }

  epochOf(gateway: string): number {
    return this.#epochs.get(gateway) ?? 1
  }

  leasesOf(gateway: string): LeaseTotals[] {
    return [...this.totals.values()].filter(
      ({ lease_id: id, epoch }) => this.state.leases.get(id)?.gatewayId === gateway && epoch === this.epochOf(gateway),
    )
  }

  /** Says something, and it changes what it changes; said once more at once, it changes no amount. */
  say(decide: () => readonly HomeEvent[]): void {
    this.#said.push(decide)
    this.#effect(decide())
    const before = amountsOf(this.state)
    this.#effect(decide())
    assert.deepEqual(amountsOf(this.state), before, 'it came twice')
  }

  sayAgain(at: number): void {
    const decide = this.#said[at % Math.max(1, this.#said.length)]
    if (decide) this.#effect(decide())
  }

  #effect(events: readonly HomeEvent[]): void {
    for (const event of events) evolve(this.state, event)
    this.#nowMs++
    this.#check()
  }

  /** @param isLost nobody hears the answer */
  ask(gateway: string, isLost: boolean, items: { budget: number; need: number; more: number; ahead: number }[]): void {
    const ask: LeaseAsk = {
      ...{ gateway_id: gateway, epoch: this.epochOf(gateway), at_ms: this.#nowMs, seq: ++this.#seq },
      items: [...new Map(items.map(item => [item.budget, item])).values()]
        .sort((a, b) => a.budget - b.budget)
        .map(({ budget, need, more, ahead }) => ({ ...pooled(budgets[budget] ?? ''), need, want: need + more, ahead })),
    }
    const answer = this.#askOnce(ask)
    this.#asks.push({ ask, answer })
    if (isLost) return
    for (const [at, { lease_id: leaseId, amount }] of answer.grants.entries()) {
      const item = ask.items[at]
      if (!item || amount === 0) continue
      const nothing = { settled_total: 0, returned_total: 0, unresolved: [], version: 0, done: false }
      this.totals.set(leaseId, {
        ...{ lease_id: leaseId, ...pooled(item.budget_id), epoch: ask.epoch, granted: amount, ...nothing },
      })
    }
  }

  /** An earlier run gets nothing. */
  askTooLate(gateway: string): void {
    const epoch = this.epochOf(gateway) - 1
    if (epoch < 1) return
    const items = [{ ...pooled('bud_1'), need: 0, want: 1, ahead: 0 }]
    const ask = { gateway_id: gateway, epoch, at_ms: this.#nowMs, seq: ++this.#seq, items }
    assert.equal(this.#askOnce(ask).refusal?.reason, 'fenced')
  }

  /** Asked again, an ask has the answer that it had, or none any more; and nobody gets anything by it. */
  askAgain(at: number): void {
    const asked = this.#asks[at % Math.max(1, this.#asks.length)]
    if (!asked || asked.answer.refusal) return
    const before = amountsOf(this.state)
    const { grants, refusal } = this.#askOnce(asked.ask)
    assert.deepEqual(amountsOf(this.state), before, 'an ask that came again')
    if (refusal) assert.equal(refusal.reason, 'fenced')
    else
      assert.deepEqual(
        grants.map(({ lease_id, amount }) => [lease_id, amount]),
        asked.answer.grants.map(({ lease_id, amount }) => [lease_id, amount]),
      )
  }

  #askOnce(ask: LeaseAsk): LeaseAnswer {
    const left = new Map([...this.state.pools].map(([key, pool]) => [key, leftOf(pool)]))
    const about = { nowMs: this.#nowMs, term: 1, gateways: 2, recalled: true, isOpen: () => true }
    const decided = decideAsk(this.state, ask, about)
    if (decided === 'recall') throw new Error('it was recalled')
    const granted = decided.events.filter(({ type }) => type === 'lease-granted')
    if (decided.answer.refusal) assert.deepEqual([granted, decided.answer.grants], [[], []], 'all of its items or none')
    this.#effect(decided.events)
    for (const [key, pool] of this.state.pools)
      if (leftOf(pool) < (left.get(key) ?? 0)) assert.ok(leftOf(pool) >= 0, `${key} was granted above its limit`)
    return decided.answer
  }

  /** Uses part of what a lease has, and says so, or has it in its journal alone. */
  use(
    gateway: string,
    at: number,
    parts: { settled: number; returned: number; unresolved: number; done: boolean; isTold: boolean },
  ) {
    const mine = this.leasesOf(gateway)
    const before = mine[at % Math.max(1, mine.length)]
    if (!before || before.done) return
    const set = before.unresolved.reduce((sum, { amount }) => sum + amount, 0)
    let rest = before.granted - before.settled_total - before.returned_total - set
    const take = (amount: number): number => {
      const taken = Math.min(amount, rest)
      rest -= taken
      return taken
    }
    const version = before.version + 1
    const unresolved = take(parts.unresolved)
    const totals: LeaseTotals = {
      ...before,
      settled_total: before.settled_total + take(parts.settled),
      returned_total: before.returned_total + take(parts.returned),
      unresolved:
        unresolved === 0
          ? before.unresolved
          : [...before.unresolved, { attempt_id: `att_${version}`, amount: unresolved }],
      version,
      done: parts.done && parts.isTold && rest === 0,
    }
    this.totals.set(totals.lease_id, totals)
    if (!parts.isTold) return
    const report = { gateway_id: gateway, epoch: before.epoch, at_ms: this.#nowMs, leases: [totals] }
    this.say(() => decideReport(this.state, report, this.#nowMs).events)
  }

  /** A run ends; what its journal names is what was used. */
  restart(gateway: string): void {
    const ended = this.epochOf(gateway)
    const leases = this.leasesOf(gateway).filter(({ version }) => version > 0)
    this.#epochs.set(gateway, ended + 1)
    const hello = { gateway_id: gateway, ended_epoch: ended, at_ms: this.#nowMs, leases, more: false }
    this.say(() => decideHello(this.state, hello, this.#nowMs).events)
    for (const lease of this.state.leases.values())
      if (lease.gatewayId === gateway && lease.epoch === ended) assert.equal(weightOf(lease).outstanding, 0)
  }

  list(gateway: string): void {
    const lease_ids = this.leasesOf(gateway)
      .filter(({ done }) => !done)
      .map(({ lease_id: id }) => id)
    const whole = { from_seq: 0, below_seq: this.#seq + 1, lease_ids }
    const heartbeat = { gateway_id: gateway, epoch: this.epochOf(gateway), at_ms: this.#nowMs, idle: [], whole }
    this.say(() => decideHeartbeat(this.state, heartbeat, this.#nowMs).events)
    for (const lease of this.state.leases.values())
      if (lease.gatewayId === gateway && lease.epoch === heartbeat.epoch && !lease_ids.includes(lease.leaseId))
        assert.equal(lease.state, 'closed', 'nobody has heard of it')
  }

  silence(gateway: string): void {
    const before = [...this.state.pools.values()].map(leftOf)
    this.#effect(decideSilence(this.state, gateway))
    assert.deepEqual([...this.state.pools.values()].map(leftOf), before, 'silence frees nothing')
  }

  resolve(at: number): void {
    const open = [...this.state.leases.values()].flatMap(({ leaseId, unresolved }) =>
      [...unresolved.keys()].map(attemptId => ({ leaseId, attemptId })),
    )
    const one = open[at % Math.max(1, open.length)]
    if (one) this.say(() => decideResolved(this.state, one.leaseId, one.attemptId))
  }

  #check(): void {
    for (const gateway of gateways)
      for (const { lease_id: id, done } of this.leasesOf(gateway))
        if (!done) assert.notEqual(this.state.leases.get(id)?.state, 'closed', `${id} is still used`)
    for (const pool of this.state.pools.values()) {
      const sums = { settled: 0, unresolved: 0, outstanding: 0 }
      for (const lease of this.state.leases.values()) {
        if (lease.pool !== pool.key) continue
        const weight = weightOf(lease)
        for (const part of ['settled', 'unresolved', 'outstanding'] as const) sums[part] += weight[part]
        assert.ok(
          weight.settled + weight.unresolved + weight.outstanding <= lease.granted,
          `${lease.leaseId} weighs too much`,
        )
      }
      const { settled, unresolved, outstanding } = pool
      assert.deepEqual({ settled, unresolved, outstanding }, sums, `${pool.key} is the sum of its leases`)
      assert.ok(Math.min(settled, unresolved, outstanding) >= 0)
    }
  }
}

function amountsOf({ pools }: HomeState): number[][] {
  return [...pools.values()].map(pool => [spentOf(pool), pool.unresolved, pool.outstanding])
}

test('in any order of what is said to a home, once or again, no grant is above a limit and nothing counts twice', () => {
  const gateway = fc.constantFrom(...gateways)
  const small = fc.nat(12)
  const item = fc.record({ budget: fc.nat(1), need: small, more: small, ahead: small })
  const parts = fc.record({
    settled: small,
    returned: small,
    unresolved: fc.nat(3),
    done: fc.boolean(),
    isTold: fc.boolean(),
  })
  const act = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.tuple(gateway, fc.nat(5), fc.array(item, { minLength: 1, maxLength: 2 })).map(
        ([of, heard, items]) =>
          (life: Life) =>
            life.ask(of, heard === 0, items),
      ),
    },
    {
      weight: 4,
      arbitrary: fc.tuple(gateway, fc.nat(9), parts).map(
        ([of, at, used]) =>
          (life: Life) =>
            life.use(of, at, used),
      ),
    },
    gateway.map(of => (life: Life) => life.askTooLate(of)),
    fc.nat(30).map(at => (life: Life) => life.askAgain(at)),
    fc.nat(60).map(at => (life: Life) => life.sayAgain(at)),
    gateway.map(of => (life: Life) => life.restart(of)),
    gateway.map(of => (life: Life) => life.list(of)),
    gateway.map(of => (life: Life) => life.silence(of)),
    fc.nat(9).map(at => (life: Life) => life.resolve(at)),
  )
  const limits = fc.tuple(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 60 }))
  fc.assert(
    fc.property(limits, fc.array(act, { maxLength: 50 }), (of, acts) => {
      const life = new Life(of)
      for (const each of acts) each(life)
      // At rest: every run has ended, and each of its uses is settled once.
      for (const each of gateways) life.restart(each)
      for (const pool of life.state.pools.values()) {
        assert.equal(pool.outstanding, 0)
        const told = [...life.totals.values()].filter(({ budget_id: id }) => id === pool.budgetId)
        assert.equal(
          spentOf(pool),
          told.reduce((sum, { settled_total: settled }) => sum + settled, 0),
        )
      }
    }),
    { numRuns: 500 },
  )
})
