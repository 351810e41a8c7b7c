import type { DrawnMoney } from '@sluice/contracts'
import type { DrawnRow, LeaseRow } from '@sluice/leases'
import { mostNumberBytes, mostTextBytes, writeNumber, writeText } from './json-bytes.ts'
import type { RecordTail } from './record.ts'

const comma = 0x2c
const openBracket = 0x5b
const closeBracket = 0x5d
const closeBrace = 0x7d
const name = Buffer.from(',"drawn":[')

/** What each entry of a label begins with: all events of its pool share the label. */
const beginnings = new WeakMap<DrawnMoney[0], Buffer>()

function beginningOf(label: DrawnMoney[0]): Buffer {
  let beginning = beginnings.get(label)
  if (beginning === undefined) {
    beginning = Buffer.from(`[${JSON.stringify(label)},`)
    beginnings.set(label, beginning)
  }
  return beginning
}

/** `drawn` of an event, as its last member. */
export class DrawnTail implements RecordTail {
  readonly bound: number
  readonly #drawn: readonly DrawnMoney[]

  constructor(drawn: readonly DrawnMoney[]) {
    this.#drawn = drawn
    let bound = name.length + 2
    for (const [label, , parts] of drawn) {
      bound += beginningOf(label).length + mostNumberBytes + 5
      for (const [lease] of parts) bound += mostTextBytes(lease) + 2 * mostNumberBytes + 5
    }
    this.bound = bound
  }

  write(buffer: Buffer, at: number): number {
    buffer.set(name, at)
    let end = at + name.length
    for (const [label, held, parts] of this.#drawn) {
      if (end > at + name.length) buffer[end++] = comma
      const beginning = beginningOf(label)
      buffer.set(beginning, end)
      end = writeNumber(buffer, end + beginning.length, held)
      buffer[end++] = comma
      buffer[end++] = openBracket
      for (let i = 0; i < parts.length; i++) {
        const part = parts[i]
        if (!part) continue
        if (i > 0) buffer[end++] = comma
        end = writePart(buffer, end, part)
      }
      buffer[end++] = closeBracket
      buffer[end++] = closeBracket
    }
    buffer[end++] = closeBracket
    buffer[end++] = closeBrace
    return end
  }
}

function writePart(buffer: Buffer, at: number, [lease, used, total]: DrawnMoney[2][number]): number {
  let end = at
  buffer[end++] = openBracket
  end = writeText(buffer, end, lease)
  buffer[end++] = comma
  end = writeNumber(buffer, end, used)
  buffer[end++] = comma
  end = writeNumber(buffer, end, total)
  buffer[end++] = closeBracket
  return end
}

/** What stands between the numbers of an entry. */
interface EntryWords {
  /** Up to what was held. */
  first: Buffer
  /** From there up to what was used; of slots, to the end of the entry. */
  second: Buffer
  isSlot: boolean
}

/** Of the entries of a row: all events that have drawn of it share them. */
const entryWords = new WeakMap<LeaseRow, readonly EntryWords[]>()

function wordsOf(row: LeaseRow): readonly EntryWords[] {
  let words = entryWords.get(row)
  if (!words) {
    words = row.pools.map(({ label, isConcurrent }, at) => ({
      first: Buffer.from(`${at > 0 ? ',' : ''}[${JSON.stringify(label)},`),
      second: Buffer.from(isConcurrent ? ',[]]' : `,[[${JSON.stringify(row.leases[at]?.name)},`),
      isSlot: isConcurrent,
    }))
    entryWords.set(row, words)
  }
  return words
}

/** The same of one row of leases. */
export class DrawnRowTail implements RecordTail {
  readonly bound: number
  readonly #drawn: DrawnRow
  readonly #words: readonly EntryWords[]

  constructor(drawn: DrawnRow) {
    this.#drawn = drawn
    this.#words = wordsOf(drawn.row)
    let bound = name.length + 2
    for (const { first, second } of this.#words) bound += first.length + second.length + 3 * mostNumberBytes + 4
    this.bound = bound
  }

  write(buffer: Buffer, at: number): number {
    const { held, used, totals } = this.#drawn
    buffer.set(name, at)
    let end = at + name.length
    for (let i = 0; i < this.#words.length; i++) {
      const words = this.#words[i]
      if (!words) continue
      buffer.set(words.first, end)
      end = writeNumber(buffer, end + words.first.length, held[i] ?? 0)
      buffer.set(words.second, end)
      end += words.second.length
      if (words.isSlot) continue
      end = writeNumber(buffer, end, used[i] ?? 0)
      buffer[end++] = comma
      end = writeNumber(buffer, end, totals[i] ?? 0)
      buffer[end++] = closeBracket
      buffer[end++] = closeBracket
      buffer[end++] = closeBracket
    }
    buffer[end++] = closeBracket
    buffer[end++] = closeBrace
    return end
  }
}
