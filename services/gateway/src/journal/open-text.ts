import { leaseIdOfName } from '@sluice/contracts'
import type { JournaledHold } from '@sluice/leases'
import { membersOfFacts } from './attempt-facts.ts'
import type { OpenRecord } from './open-record.ts'
import { openJson } from './record-json.ts'

/*
 * OPENs that go to the system in one write say once what they have alike. A later one has `as` for what stands in an earlier one of
 * that write: who called, for what, at which prices; and `parts`, lease and amount alone, for money of leases that an earlier one has
 * named with their budgets. One write is never taken apart: it is copied whole to another segment, it is torn from its end, and what
 * the disk did not take with it is written again by itself, in full.
 */

/** Facts that later OPENs may refer to: whoever reads them remembers as many. */
const mostFacts = 256

/** An OPEN in a file: whole, or what others of its write do not say. */
interface WrittenOpen extends Partial<OpenRecord> {
  event_id: string
  /** Of the same write, the attempt whose facts and books are its own. */
  as?: string
  /** Of leases that the same write has named: within the run, and how much of each it holds. */
  parts?: [lease: string, amount: number][]
}

/** An OPEN's JSON for a write of several. `whole`: by itself; absent: that is the same. */
export interface OpenText {
  json: string
  whole?: () => string
}

/** What can be read of an OPEN where bytes are damaged. */
export interface LegibleOpen extends Pick<OpenRecord, 'event_id' | 'holder' | 'holds'> {
  /** Undefined: who called, for what and at which prices is lost. */
  record: OpenRecord | undefined
  /** Nothing of it is lost, also no lease of its money. */
  isWhole: boolean
}

/** What the OPENs of one write have said so far. */
export class SaidTogether {
  /** What the leases of this run begin with. */
  readonly #ownLeases: string
  readonly #facts = new Map<string, OpenRecord>()
  #whole = 0
  /** By lease, whether the budget was exact, and its name. */
  readonly #leases = new Map<string, { isExact: boolean; json: string }>()

  constructor(ownLeases: string) {
    this.#ownLeases = ownLeases
  }

  /** The JSON of the next OPEN of the write. */
  add(record: OpenRecord): OpenText {
    const facts = membersOfFacts(record)
    const like = this.#facts.get(facts)
    const { holds } = record
    const isAlike = like !== undefined && haveSameBooks(like, record)
    if (!isAlike) {
      if (this.#whole++ % mostFacts === 0) this.#facts.clear()
      this.#facts.set(facts, record)
    }
    let unnamed: JournaledHold[] | undefined
    let parts = ''
    for (const hold of holds ?? []) {
      const named = this.#partsOf(hold)
      if (named === undefined) {
        if (unnamed) unnamed.push(hold)
        else unnamed = [hold]
      } else parts = parts === '' ? named : `${parts},${named}`
    }
    if (!isAlike && parts === '') return { json: openJson(record) }
    const money = `${unnamed ? `,"holds":${JSON.stringify(unnamed)}` : ''}${holds ? `,"parts":[${parts}]` : ''}`
    const json = isAlike ? likeJson(record, like.event_id, money) : openJson(withoutMoney(record), money)
    return { json, whole: () => openJson(record) }
  }

  /** What it holds by lease, where its leases stand in the write. Undefined: they do from now on. */
  #partsOf({ parts, exact }: JournaledHold): string | undefined {
    const isExact = exact === true
    let json: string | undefined
    let isNamed = parts.length > 0
    for (const [lease, amount] of parts) {
      const named = this.#leases.get(lease)
      if (named?.isExact === isExact) {
        const part = `[${named.json},${amount}]`
        json = json === undefined ? part : `${json},${part}`
        continue
      }
      isNamed = false
      this.#leases.set(lease, { isExact, json: this.#nameJson(lease) })
    }
    return isNamed ? json : undefined
  }

  #nameJson(lease: string): string {
    return JSON.stringify(lease.startsWith(this.#ownLeases) ? lease.slice(this.#ownLeases.length) : lease)
  }
}

function withoutMoney({ holds: _, ...record }: OpenRecord): OpenRecord {
  return record
}

function haveSameBooks(one: OpenRecord, other: OpenRecord): boolean {
  return (
    one.price_book_id === other.price_book_id &&
    one.override_price_book_id === other.override_price_book_id &&
    one.unpriced_policy === other.unpriced_policy
  )
}

function likeJson(record: OpenRecord, as: string, money: string): string {
  const { event_id, call_id, admitted_at_ms, estimated_input, asked_modifiers, in_call, holder } = record
  const own = JSON.stringify({ admitted_at_ms, estimated_input, asked_modifiers, in_call, holder })
  return `{"event_id":"${event_id}","call_id":"${call_id}","as":"${as}",${own.slice(1, -1)}${money}}`
}

/** Reads the OPENs of a run in their order, each as it was given, or as much of it as is not damaged. */
export class OpenReader {
  readonly #gatewayId: string
  readonly #epoch: number
  readonly #facts = new Map<string, OpenRecord>()
  readonly #leases = new Map<string, Omit<JournaledHold, 'parts'>>()

  constructor(gatewayId: string, epoch: number) {
    this.#gatewayId = gatewayId
    this.#epoch = epoch
  }

  /** Tells of each member whether it is lost by itself: one damaged record takes no more than what stood there alone. */
  read(json: string): LegibleOpen {
    const { as, parts, ...written } = JSON.parse(json) as WrittenOpen
    const { event_id, holder } = written
    for (const { parts: named, ...about } of written.holds ?? [])
      for (const [lease] of named) this.#leases.set(lease, about)
    const referred = parts && this.#holdsOf(parts)
    const holds = referred ? [...(written.holds ?? []), ...referred.holds] : written.holds
    const legible = { event_id, ...(holder !== undefined && { holder }), ...(holds && { holds }) }
    const like = as === undefined ? undefined : this.#facts.get(as)
    if (as !== undefined && !like) return { ...legible, record: undefined, isWhole: false }
    const record = { ...(like && factsOf(like)), ...written, ...legible } as OpenRecord
    if (!like) this.#remember(record)
    return { ...legible, record, isWhole: referred?.isWhole ?? true }
  }

  #remember(record: OpenRecord): void {
    this.#facts.set(record.event_id, record)
    if (this.#facts.size <= mostFacts) return
    for (const [oldest] of this.#facts) {
      this.#facts.delete(oldest)
      return
    }
  }

  /** Leases whose budgets nobody has named are left out: then it is not `isWhole`. */
  #holdsOf(parts: NonNullable<WrittenOpen['parts']>): { holds: JournaledHold[]; isWhole: boolean } {
    const holds: JournaledHold[] = []
    let isWhole = true
    let pool: Omit<JournaledHold, 'parts'> | undefined
    for (const [name, amount] of parts) {
      const lease = leaseIdOfName(this.#gatewayId, this.#epoch, name)
      const about = this.#leases.get(lease)
      if (!about) {
        isWhole = false
        continue
      }
      // Leases of one pool stand side by side.
      const last = holds.at(-1)
      if (last && pool && isSamePool(pool, about)) last.parts.push([lease, amount])
      else holds.push({ ...about, parts: [[lease, amount]] })
      pool = about
    }
    return { holds, isWhole }
  }
}

function factsOf(record: OpenRecord): Partial<OpenRecord> {
  const {
    event_id: _,
    call_id: __,
    estimated_input: ___,
    admitted_at_ms: ____,
    asked_modifiers,
    in_call,
    holds,
    holder,
    ...alike
  } = record
  return alike
}

function isSamePool(one: Omit<JournaledHold, 'parts'>, other: Omit<JournaledHold, 'parts'>): boolean {
  return one.budget_id === other.budget_id && one.copy === other.copy && one.window_start_ms === other.window_start_ms
}
