import type { Quantities, UsageRecordedData } from '@sluice/contracts'
import type { BillRecord } from '@sluice/simulator'
import { countTokens } from 'gpt-tokenizer/encoding/o200k_base'
import type { SeenCall } from './abort-calls.ts'
import type { AbortKind, AbortRequest } from './abort-kinds.ts'
import { eventsOf, type Heard, hearBody, hearEvents, nothingHeard } from './abort-reading.ts'

/** How the provider answers the same request where nobody leaves and nothing breaks. */
export interface Twin {
  providerRequestId: string
  bytes: Buffer
  // biome-ignore lint/suspicious/noExplicitAny: events of many dialects
  events: any[]
}

/** `cancel`, `drain`: the client leaves, under that policy. `dies`: the provider's connection breaks. */
export type Way = 'cancel' | 'drain' | 'dies'

/** A call that had no end, with what client, provider and gateway say of it. */
export interface BrokenCall {
  run: string
  way: Way
  kind: AbortKind
  request: AbortRequest
  /** Where the provider breaks off; of a socket, after how many tokens. */
  diesAt?: number
  seen: SeenCall
  twin: Twin
  bill: BillRecord
  event: UsageRecordedData
}

/** What an event says of a call that had no end, held against what had come of its reply. */
export interface Verdict {
  /** What is wrong: with its marks, its input, its output. */
  wrong: 'marks' | 'input' | 'output' | undefined
  /** Chunks more than the client had seen; undefined where it is not told by chunks. */
  chunksAhead: number | undefined
  /** Its text was told from bytes, although it is counted where there is time. */
  isByBytes: boolean
}

/** Whether an event says exactly what had come of the reply when it ended, counted in the one way in which it is to be. */
export function judgeEstimate(call: BrokenCall): Verdict {
  const { kind, event, bill } = call
  const right: Verdict = { wrong: undefined, chunksAhead: undefined, isByBytes: false }
  const isEstimated = Object.values(event.provenance).includes('estimated')
  if (kind.isFree) return Object.keys(event.quantities).length === 0 ? right : { ...right, wrong: 'marks' }
  if (event.http_status === 0) {
    const isRight = isEstimated && isSame(sideOf(event.quantities, 'output'), kind.unanswered ?? {})
    return isRight ? { ...right, wrong: wrongInput(call, nothingHeard()) } : { ...right, wrong: 'output' }
  }
  const views = viewsOf(call)
  if (!isEstimated)
    return views.some(({ told }) => told !== 'nothing') && event.cost_nano_usd === bill.cost_nano_usd
      ? right
      : { ...right, wrong: 'marks' }
  const output = sideOf(event.quantities, 'output')
  const first = views[0]
  for (const isByBytes of [false, true]) {
    const count = isByBytes ? kind.outputByBytes : kind.output
    const found = count && views.find(view => view.told !== 'all' && isCount(output, count(view), view))
    if (!found) continue
    const isByChunks = call.way === 'cancel' && kind.via !== 'whole' && kind.reading.event !== undefined
    const chunksAhead = isByChunks && first ? chunksBetween(views, first, found) : undefined
    return { wrong: wrongInput(call, found), chunksAhead, isByBytes: isByBytes && found.told !== 'some' }
  }
  return { ...right, wrong: 'output' }
}

/** What an event must say that tells the whole of a reply whose usage nobody told. */
export function isWholeEstimate({ kind, twin, event }: BrokenCall): boolean {
  const heard = kind.via === 'whole' ? hearBody(kind.reading, twin.bytes) : hearEvents(kind.reading, twin.events).at(-1)
  const output = sideOf(event.quantities, 'output')
  const counts = [kind.output, kind.outputByBytes ?? kind.output]
  return heard !== undefined && counts.some(count => isSame(output, count(heard)))
}

/** Everything that the gateway may have had of the reply: as the client, or what the provider had produced beyond that. */
function viewsOf({ kind, way, twin, diesAt, seen, bill }: BrokenCall): Heard[] {
  if (way === 'dies' && kind.via !== 'frames') {
    // The same bytes but for the ids in them.
    const bytes = Buffer.from(twin.bytes.toString('latin1').replaceAll(twin.providerRequestId, bill.bill_id), 'latin1')
    const came = bytes.subarray(0, diesAt)
    return kind.via === 'whole' ? [hearBody(kind.reading, came)] : hearEvents(kind.reading, eventsOf(came)).slice(-1)
  }
  if (kind.via === 'whole') return []
  const client =
    kind.via === 'sound' ? { ...nothingHeard(), soundBytes: seen.bytes } : hearEvents(kind.reading, seen.events).at(-1)
  const all = hearEvents(kind.reading, twin.events)
  const from = all.findIndex(
    view =>
      view.textBytes >= (client?.textBytes ?? 0) &&
      view.pictures >= (client?.pictures ?? 0) &&
      (kind.reading.event === undefined || view.soundBytes >= (client?.soundBytes ?? 0)),
  )
  if (from < 0 || (kind.via !== 'sound' && all[from]?.text !== client?.text)) return []
  return all.slice(from).filter(view => kind.leastProduced(view) <= bill.generated_output_tokens)
}

/** Each chunk makes one more: of text, else of sound, else of pictures. */
function chunksBetween(views: readonly Heard[], from: Heard, to: Heard): number {
  const place = ({ textBytes, soundBytes, pictures }: Heard) => textBytes || soundBytes || pictures
  return new Set(views.map(place).filter(at => at > place(from) && at <= place(to))).size
}

/** Text that broke off inside a character may be a token more or less. */
function isCount(output: Quantities, expected: Quantities, { text, textBytes }: Heard): boolean {
  if (text === '' || textBytes === Buffer.byteLength(text)) return isSame(output, expected)
  return Math.abs((output.out_text ?? 0) - (expected.out_text ?? 0)) <= 1
}

function wrongInput({ kind, request, event, bill }: BrokenCall, { told }: Heard): Verdict['wrong'] {
  const input = sideOf(event.quantities, 'input')
  const marks = Object.entries(event.provenance).filter(([name]) => !isOutput(name))
  const isMarkedAs = (mark: string) => marks.every(([, marked]) => marked === mark)
  const isTold =
    isMarkedAs('measured') &&
    (input.in_text ?? 0) === bill.billed.input_fresh &&
    (input.in_cache_read ?? 0) === bill.billed.input_from_cache &&
    (input.in_cache_write_5m ?? 0) === bill.billed.input_to_cache_5m
  if (told === 'input' || (told === 'some' && isTold)) return isTold ? undefined : 'input'
  if (!isMarkedAs('estimated')) return 'input'
  if (kind.input) return isSame(input, kind.input(request)) ? undefined : 'input'
  return isTextInput(input, request) ? undefined : 'input'
}

/** By the vocabulary or by bytes; the gateway may have asked for a usage chunk on top. A socket's request is its frame. */
function isTextInput({ in_text: tokens = 0, ...others }: Quantities, { body, frames }: AbortRequest): boolean {
  const request = frames?.[0] ?? body.toString()
  const counts = [countTokens(request), Math.ceil((Buffer.byteLength(request) * 10) / 36)]
  return Object.keys(others).length === 0 && counts.some(count => tokens >= count && tokens <= count + askedForUsage)
}
const askedForUsage = 14

function isOutput(name: string): boolean {
  return name.startsWith('out_') || name.endsWith('_calls')
}

function sideOf(quantities: Quantities, side: 'input' | 'output'): Quantities {
  return Object.fromEntries(Object.entries(quantities).filter(([name]) => isOutput(name) === (side === 'output')))
}

function isSame(some: Quantities, other: Quantities): boolean {
  const names = new Set([...Object.keys(some), ...Object.keys(other)]) as Set<keyof Quantities>
  return [...names].every(name => (some[name] ?? 0) === (other[name] ?? 0))
}
