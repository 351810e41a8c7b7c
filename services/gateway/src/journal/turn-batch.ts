import type { EpochWriter, NumberedRecord, SegmentState } from './epoch-writer.ts'
import { type RecordText, recordType } from './record.ts'

/** A record on its way to the system. */
export interface TurnRecord extends RecordText {
  /** Its text where it is written by itself. Absent: the same. */
  readonly whole?: (() => Pick<RecordText, 'lead' | 'json'>) | undefined
  /** Of a CLOSE: its place in its series. */
  readonly numbered?: Omit<NumberedRecord, 'text'>
  /**
   * What the turn's write comes to for this record: called before any `written`.
   * @param error it is in no file
   * @param segment where it was written, if it is no event
   */
  readonly settle?: (error: unknown, segment: SegmentState | undefined) => void
  /** Called once the system has every record of the turn, in their order. */
  readonly written?: ((error: unknown) => void) | undefined
}

/**
 * The records of one turn of the event loop, which go to the system in one write at the turn's end: a write costs as much as
 * half a dozen records do, and under load a turn has as many. What waits for its record (a call for its OPEN, an answer for
 * its CLOSE) goes on right behind that write.
 */
export class TurnBatch {
  readonly #writer: EpochWriter
  readonly #onThrown: (error: unknown) => void
  #records: TurnRecord[] = []
  #number = 0
  #immediate: NodeJS.Immediate | undefined
  #urgent = false
  readonly #flushOfTurn = (): void => this.flush()

  /** @param onThrown told what a `written` throws; the others are called all the same */
  constructor(writer: EpochWriter, onThrown: (error: unknown) => void) {
    this.#writer = writer
    this.#onThrown = onThrown
  }

  /** Of the write that the next record is part of. */
  get number(): number {
    return this.#number
  }

  /** Takes a record. `urgent`: the disk should have it as soon as the system has. */
  add(record: TurnRecord, urgent = false): void {
    this.#records.push(record)
    if (urgent) this.#urgent = true
    this.#immediate ??= setImmediate(this.#flushOfTurn)
  }

  /** Writes what has come so far. */
  flush(): void {
    if (this.#immediate === undefined) return
    clearImmediate(this.#immediate)
    this.#immediate = undefined
    const records = this.#records
    this.#records = []
    this.#number++
    const { segment } = this.#writer
    const together = this.#writer.writeTogether(records)
    for (let i = 0; i < together; i++) records[i]?.settle?.(undefined, segment)
    const errors = together === records.length ? undefined : this.#writeRest(records, together)
    if (this.#urgent) this.#writer.syncNow()
    this.#urgent = false
    for (let i = 0; i < records.length; i++) {
      try {
        records[i]?.written?.(errors?.[i])
      } catch (error) {
        this.#onThrown(error)
      }
    }
  }

  /** The disk did not take them together: each by itself, an event to wherever there is room. */
  #writeRest(records: readonly TurnRecord[], from: number): unknown[] {
    const errors: unknown[] = Array(records.length)
    for (let i = from; i < records.length; i++) {
      const record = records[i]
      // The one that is left when the write fails is not where the record is.
      const { segment } = this.#writer
      if (record?.type === recordType.close && record.numbered) this.#writer.keep(numberedOf(record, record.numbered))
      else if (record) {
        try {
          this.#writer.write(record.whole ? { type: record.type, ...record.whole() } : record)
        } catch (error) {
          errors[i] = error
        }
      }
      record?.settle?.(errors[i], segment)
    }
    return errors
  }
}

/** Nothing but what is written of it: it may wait for long. */
function numberedOf(
  { type, lead, json, tail }: TurnRecord,
  place: NonNullable<TurnRecord['numbered']>,
): NumberedRecord {
  return { text: { type, lead, json, tail }, ...place }
}
