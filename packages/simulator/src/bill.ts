import type { Beside } from './beside.ts'
import { type BillLine, type Metered, NOTHING_METERED, priceLines } from './cost.ts'
import type { SimPrice } from './prices.ts'

export type Ended = 'running' | 'completed' | 'aborted' | 'failed'

/** One call on the simulator's own bill. */
export interface BillRecord {
  /** Position in the bill, from 1; `since` counts in it. */
  readonly seq: number
  /** The provider's request id, sent as `x-request-id` and `request-id`. */
  readonly bill_id: string
  response_id: string | null
  readonly credential_sha256: string | null
  readonly dialect: 'openai' | 'anthropic'
  readonly endpoint: string
  /** The model asked for, by the name it is priced under; as asked where it is unknown. */
  model: string
  served_tier: string
  streamed: boolean
  ended: Ended
  http_status: number | null
  readonly started_at_ms: number
  ended_at_ms: number | null
  /** When the simulator saw that the client was gone. */
  abort_seen_at_ms: number | null
  /** Output tokens produced, billed or not. */
  generated_output_tokens: number
  billed: Metered
  lines: readonly BillLine[]
  cost_nano_usd: number
}

export interface BillTotals {
  readonly calls: number
  readonly running: number
  readonly completed: number
  readonly aborted: number
  readonly failed: number
  /** Decimal text, since a sum may pass what a JSON number holds exactly. */
  readonly cost_nano_usd: string
  readonly cost_nano_usd_by_model: { readonly [model: string]: string }
}

/** What the call turned out to be, once its model and tier are known. */
export interface Rated {
  readonly model: string
  readonly price: SimPrice
  readonly tier: string
  readonly geo: string | null
  readonly speed?: string | null
  readonly searchesPreview?: boolean
}

const RECORDS_KEPT = 100_000

/** The simulator's own bill: a record for every billable call, and totals that outlive the oldest records. */
export class Bill {
  #records: BillRecord[] = []
  #byId = new Map<string, BillRecord>()
  #seq = 0
  #resetAtSeq = 0
  #calls = 0
  #ended = { completed: 0, aborted: 0, failed: 0 }
  #cost = 0n
  #costByModel = new Map<string, bigint>()

  open(call: {
    readonly billId: string
    readonly credentialSha256: string | null
    readonly dialect: 'openai' | 'anthropic'
    readonly endpoint: string
  }): BillRecord {
    this.#seq += 1
    this.#calls += 1
    const record: BillRecord = {
      seq: this.#seq,
      bill_id: call.billId,
      response_id: null,
      credential_sha256: call.credentialSha256,
      dialect: call.dialect,
      endpoint: call.endpoint,
      model: '',
      served_tier: '',
      streamed: false,
      ended: 'running',
      http_status: null,
      started_at_ms: Date.now(),
      ended_at_ms: null,
      abort_seen_at_ms: null,
      generated_output_tokens: 0,
      billed: NOTHING_METERED,
      lines: [],
      cost_nano_usd: 0,
    }
    this.#records.push(record)
    this.#byId.set(record.bill_id, record)
    if (this.#records.length > RECORDS_KEPT * 1.25) {
      for (const old of this.#records.slice(0, -RECORDS_KEPT)) this.#byId.delete(old.bill_id)
      this.#records = this.#records.slice(-RECORDS_KEPT)
    }
    return record
  }

  /** Ends a call, once; a second end of the same call changes nothing. */
  close(
    record: BillRecord,
    ended: Exclude<Ended, 'running'>,
    metered: Metered,
    rated?: Rated,
    beside: readonly Beside[] = [],
  ): void {
    if (record.ended === 'running') record.billed = metered
    const own = rated === undefined ? [] : priceLines(rated.price, metered, rated)
    const others = rated === undefined ? [] : beside.flatMap(({ lines }) => lines(rated))
    this.closeAt(record, ended, [...own, ...others])
  }

  /** Ends a call at lines that were priced elsewhere, once. */
  closeAt(record: BillRecord, ended: Exclude<Ended, 'running'>, lines: readonly BillLine[]): void {
    if (record.ended !== 'running') return
    record.ended = ended
    record.ended_at_ms = Date.now()
    record.lines = lines
    let cost = 0
    for (const line of lines) cost += line.nano_usd
    record.cost_nano_usd = cost
    if (record.seq <= this.#resetAtSeq) return
    this.#ended[ended] += 1
    if (record.cost_nano_usd === 0) return
    this.#cost += BigInt(record.cost_nano_usd)
    this.#costByModel.set(record.model, (this.#costByModel.get(record.model) ?? 0n) + BigInt(record.cost_nano_usd))
  }

  find(billId: string): BillRecord | undefined {
    return this.#byId.get(billId)
  }

  /** Records after position `seq`, of every credential or of one, calls still running included. */
  since(seq = 0, credentialSha256?: string): readonly BillRecord[] {
    return this.#records.filter(
      record => record.seq > seq && (credentialSha256 === undefined || record.credential_sha256 === credentialSha256),
    )
  }

  totals(): BillTotals {
    const { completed, aborted, failed } = this.#ended
    const byModel: { [model: string]: string } = {}
    for (const [model, cost] of this.#costByModel) byModel[model] = cost.toString()
    return {
      calls: this.#calls,
      running: this.#calls - completed - aborted - failed,
      completed,
      aborted,
      failed,
      cost_nano_usd: this.#cost.toString(),
      cost_nano_usd_by_model: byModel,
    }
  }

  /** Forgets every record and total. Calls still running stay out of the new bill. */
  reset(): void {
    this.#resetAtSeq = this.#seq
    this.#records = []
    this.#byId.clear()
    this.#calls = 0
    this.#ended = { completed: 0, aborted: 0, failed: 0 }
    this.#cost = 0n
    this.#costByModel.clear()
  }
}
