import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { zstdCompress, zstdDecompress } from 'node:zlib'
import { ContractError, UsageAdjusted, UsageLogBatch, UsageRecorded } from '@sluice/contracts'
import { ArchiveError } from './archive-error.ts'
import type { Segment } from './day-document.ts'

const compress = promisify(zstdCompress)
const decompress = promisify(zstdDecompress)

/** Text of a segment, at most, before the batch that makes it longer. */
export const segmentBytes = 16 * 1024 * 1024

/** One event of a segment. */
export interface SegmentEvent {
  batch: string
  seq: number
  /** Undefined: the line is no event that could be posted. */
  cost: bigint | undefined
}

/** Reads the lines of a segment of usage, batch by batch. @throws ContractError where they are not such lines */
export function readBatches(text: string): { batch: UsageLogBatch; lines: string[] }[] {
  const lines = linesOf(text)
  const batches: { batch: UsageLogBatch; lines: string[] }[] = []
  for (let at = 0; at < lines.length; ) {
    const batch = UsageLogBatch.decode(lines[at] ?? '')
    const end = at + 1 + batch.last - batch.first + 1
    if (end > lines.length) throw new ContractError(`batch ${batch.batch} is not whole`)
    batches.push({ batch, lines: lines.slice(at + 1, end) })
    at = end
  }
  return batches
}

/** Every event of a segment of usage with its cost. */
export function* readEvents(text: string): Generator<SegmentEvent> {
  for (const { batch, lines } of readBatches(text))
    for (const [index, line] of lines.entries())
      yield { batch: batch.batch, seq: batch.first + index, cost: costOf(line) }
}

/** A segment and its file. */
export async function packSegment(
  kind: Segment['kind'],
  day: string,
  number: number,
  text: string,
): Promise<{ segment: Segment; content: Buffer }> {
  const content = await compress(Buffer.from(text))
  const sha256 = hashOf(content)
  const name = `segments/${day}/${kind}-${String(number).padStart(5, '0')}-${sha256.slice(0, 16)}.ndjson.zst`
  const summary = summarise(kind, text)
  const segment = { name, kind, sha256, bytes: content.length, text_bytes: Buffer.byteLength(text), ...summary }
  return { segment, content }
}

/** The text of a segment's file. @throws ArchiveError where it is missing or a byte of it is not as it was archived */
export async function unpackSegment(segment: Segment, content: Buffer | undefined): Promise<string> {
  if (content === undefined) throw new ArchiveError(`segment ${segment.name} is missing`)
  if (content.length !== segment.bytes || hashOf(content) !== segment.sha256)
    throw new ArchiveError(`segment ${segment.name} was changed: it does not have the hash of its manifest`)
  return (await decompress(content)).toString()
}

/** What a manifest says of a segment's text, counted from the text. */
export function summarise(
  kind: Segment['kind'],
  text: string,
): Pick<Segment, 'batches' | 'events' | 'cost_nano_usd' | 'first' | 'last'> {
  if (kind === 'adjustments') {
    const adjusted = linesOf(text).map(line => UsageAdjusted.decode(line))
    const sum = adjusted.reduce((total, one) => total + BigInt(one.difference_nano_usd), 0n)
    return {
      batches: 0,
      events: adjusted.length,
      cost_nano_usd: String(sum),
      first: String(adjusted[0]?.seq ?? 0),
      last: String(adjusted.at(-1)?.seq ?? 0),
    }
  }
  const batches = readBatches(text)
  let cost = 0n
  let events = 0
  for (const { lines } of batches)
    for (const line of lines) {
      events += 1
      cost += costOf(line) ?? 0n
    }
  return {
    batches: batches.length,
    events,
    cost_nano_usd: String(cost),
    first: batches[0]?.batch.batch ?? '0',
    last: batches.at(-1)?.batch.batch ?? '0',
  }
}

function costOf(line: string): bigint | undefined {
  try {
    return BigInt(UsageRecorded.decode(line).cost_nano_usd)
  } catch (error) {
    if (error instanceof ContractError) return undefined
    throw error
  }
}

function linesOf(text: string): string[] {
  const lines = text.split('\n')
  if (lines.at(-1) === '') lines.pop()
  return lines
}

function hashOf(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex')
}
