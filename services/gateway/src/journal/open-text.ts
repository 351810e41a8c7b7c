import { leaseIdOfName } from '@sluice/contracts'
import type { HeldRow, JournaledHold, LeaseRow } from '@sluice/leases'
import { membersOfFacts } from './attempt-facts.ts'
import { mostNumberBytes, mostTextBytes, writeNumber, writeText } from './json-bytes.ts'
import type { OpeningRecord, OpenRecord } from './open-record.ts'
import type { RecordTail, RecordText } from './record.ts'
import { openText } from './record-json.ts'

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
  parts?: LeasePart[]
}

type LeasePart = [lease: string, amount: number]

const comma = 0x2c
const openBracket = 0x5b
const closeBracket = 0x5d
const closeBrace = 0x7d

/** An OPEN's JSON for a write of several. `whole`: by itself; absent: that is the same. */
export interface OpenText extends Omit<RecordText, 'type'> {
  whole?: (() => Pick<RecordText, 'lead' | 'json'>) | undefined
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
  readonly #leases = new Map<string, { isExact: boolean; name: string }>()
  /** Rows of which every lease is named, as those who hold money of it would. */
  readonly #rows = new Set<LeaseRow>()

  constructor(ownLeases: string) {
    this.#ownLeases = ownLeases
  }

  /** The JSON of the next OPEN of the write. */
  add(record: OpeningRecord): OpenText {
    const facts = membersOfFacts(record)
    const like = this.#facts.get(facts)
    const { holds, row } = record
    const isAlike = like !== undefined && haveSameBooks(like, record)
    if (!isAlike) {
      if (this.#whole++ % mostFacts === 0) this.#facts.clear()
      this.#facts.set(facts, record)
    }
    const money = row ? this.#moneyOfRow(row) : holds && this.#moneyOf(holds)
    if (isAlike) return { ...likeText(record, like.event_id), tail: money, whole: () => openText(record) }
    if (!money?.hasParts) return openText(record)
    return { ...openText(withoutMoney(record)), tail: money, whole: () => openText(record) }
  }

  #moneyOfRow(held: HeldRow): MoneyTail {
    if (this.#rows.has(held.row)) return new RowTail(held)
    const money = this.#moneyOf(held.holds)
    this.#rows.add(held.row)
    return money
  }

  #moneyOf(holds: readonly JournaledHold[]): MoneyTail {
    const unnamed: JournaledHold[] = []
    const parts: LeasePart[] = []
    for (const hold of holds) {
      const before = parts.length
      if (this.#addParts(hold, parts)) continue
      parts.length = before
      unnamed.push(hold)
    }
    return new OpenTail(unnamed, parts)
  }

  /**
   * Adds what it holds by lease.
   * @returns false: some lease does not stand in the write, but from now on it does
   */
  #addParts({ parts, exact }: JournaledHold, to: LeasePart[]): boolean {
    const isExact = exact === true
    let isNamed = parts.length > 0
    for (const [lease, amount] of parts) {
      const named = this.#leases.get(lease)
      if (named?.isExact === isExact) to.push([named.name, amount])
      else {
        isNamed = false
        // Told otherwise than before.
        if (named) this.#rows.clear()
        this.#leases.set(lease, { isExact, name: this.#nameOf(lease) })
      }
    }
    return isNamed
  }

  #nameOf(lease: string): string {
    return lease.startsWith(this.#ownLeases) ? lease.slice(this.#ownLeases.length) : lease
  }
}

function withoutMoney({ holds: _, row: __, ...record }: OpeningRecord): OpenRecord {
  return record
}

function haveSameBooks(one: OpenRecord, other: OpenRecord): boolean {
  return (
    one.price_book_id === other.price_book_id &&
    one.override_price_book_id === other.override_price_book_id &&
    one.unpriced_policy === other.unpriced_policy
  )
}

function likeText(record: OpenRecord, as: string): Pick<OpenText, 'lead' | 'json'> {
  const { event_id, call_id, admitted_at_ms, estimated_input, asked_modifiers, in_call, holder } = record
  const own = { admitted_at_ms, estimated_input, asked_modifiers, in_call, holder }
  return { lead: [`{"event_id":"${event_id}","call_id":"${call_id}","as":"${as}"`], json: JSON.stringify(own) }
}

/** The money of an OPEN, as its last members. */
interface MoneyTail extends RecordTail {
  /** It refers to what an earlier OPEN has said. */
  readonly hasParts: boolean
}

/** The same: `holds` names leases that the write has not named, `parts` refers to the others. */
class OpenTail implements MoneyTail {
  readonly #holds: readonly JournaledHold[]
  readonly #parts: readonly LeasePart[]
  #text: string | undefined

  constructor(holds: readonly JournaledHold[], parts: readonly LeasePart[]) {
    this.#holds = holds
    this.#parts = parts
  }

  get hasParts(): boolean {
    return this.#parts.length > 0
  }

  get bound(): number {
    let bound = this.#beginning.length * 3 + 2
    for (const [lease] of this.#parts) bound += mostTextBytes(lease) + mostNumberBytes + 4
    return bound
  }

  /** Up to the parts. Made where it is written: an OPEN that refers to nothing says its holds among its other members. */
  get #beginning(): string {
    this.#text ??= `${this.#holds.length > 0 ? `,"holds":${JSON.stringify(this.#holds)}` : ''},"parts":[`
    return this.#text
  }

  write(buffer: Buffer, at: number): number {
    let end = at + buffer.write(this.#beginning, at, 'utf8')
    for (let i = 0; i < this.#parts.length; i++) {
      const part = this.#parts[i]
      if (!part) continue
      if (i > 0) buffer[end++] = comma
      buffer[end++] = openBracket
      end = writeText(buffer, end, part[0])
      buffer[end++] = comma
      end = writeNumber(buffer, end, part[1])
      buffer[end++] = closeBracket
    }
    buffer[end++] = closeBracket
    buffer[end++] = closeBrace
    return end
  }
}

const rowName = Buffer.from(',"parts":[')

/** What each part begins with: all OPENs that refer to leases of a row share it. */
const beginnings = new WeakMap<LeaseRow, readonly Buffer[]>()

function beginningsOf(row: LeaseRow): readonly Buffer[] {
  let known = beginnings.get(row)
  if (!known) {
    known = row.leases.map(({ name }, at) => Buffer.from(`${at > 0 ? ',' : ''}[${JSON.stringify(name)},`))
    beginnings.set(row, known)
  }
  return known
}

/** `parts` alone, of a row whose leases are named. */
class RowTail implements MoneyTail {
  readonly bound: number
  readonly hasParts = true
  readonly #amounts: readonly number[]
  readonly #beginnings: readonly Buffer[]

  constructor({ row, amounts }: HeldRow) {
    this.#amounts = amounts
    this.#beginnings = beginningsOf(row)
    let bound = rowName.length + 2
    for (const beginning of this.#beginnings) bound += beginning.length + mostNumberBytes + 1
    this.bound = bound
  }

  write(buffer: Buffer, at: number): number {
    buffer.set(rowName, at)
    let end = at + rowName.length
    for (let i = 0; i < this.#beginnings.length; i++) {
      const beginning = this.#beginnings[i]
      if (!beginning) continue
      buffer.set(beginning, end)
      end = writeNumber(buffer, end + beginning.length, this.#amounts[i] ?? 0)
      buffer[end++] = closeBracket
    }
    buffer[end++] = closeBracket
    buffer[end++] = closeBrace
    return end
  }
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
