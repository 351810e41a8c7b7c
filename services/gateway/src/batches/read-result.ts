import { freeUsage, JsonPicker, type SaidText } from '@sluice/usage'
import { maxUnreadableBytes } from '../shapes/read-json.ts'
import type { BatchDialect, BatchResult } from './batch-dialect.ts'

/** A line of results that is too long to keep: what counts of it. */
export class LongLine {
  readonly picker: JsonPicker
  bytes = 0

  constructor(dialect: BatchDialect, targetEndpoint: string | undefined) {
    this.picker = new JsonPicker(dialect.resultLine(targetEndpoint).members)
  }

  write(bytes: Buffer): void {
    this.bytes += bytes.length
    this.picker.write(bytes)
  }
}

/** A line that cannot be read as a result: what is charged for it is an estimate. */
export interface UnreadLine {
  customId: string | undefined
  said: SaidText
}

/** Reads a line of results. */
export function readResultLine(
  line: Buffer | LongLine,
  dialect: BatchDialect,
  targetEndpoint: string | undefined,
): { result: BatchResult } | { unread: UnreadLine } {
  if (Buffer.isBuffer(line)) {
    const result = resultOf(() => dialect.readResult(JSON.parse(line.toString('utf8')), targetEndpoint))
    if (result) return { result }
    const again = new LongLine(dialect, targetEndpoint)
    again.write(line)
    return { unread: unreadOf(again) }
  }
  const result = resultOf(() => dialect.readResult(line.picker.value(), targetEndpoint))
  // One that breaks off behind its usage has said what it cost.
  const isRead = result && (line.picker.isWhole || (result.usage && result.usage.raw_usage !== null))
  return isRead ? { result: { ...result, said: line.picker.text } } : { unread: unreadOf(line) }
}

/** The result that an unread line stands for: taken to have been worked on. @param place of the line among all results */
export function resultOfUnread(
  { customId, said }: UnreadLine,
  place: string,
  dialect: BatchDialect,
  targetEndpoint: string | undefined,
): BatchResult {
  const { shape } = dialect.resultLine(targetEndpoint)
  return {
    customId,
    place,
    outcome: 'unreadable',
    usage: freeUsage(),
    shape,
    reply: undefined,
    said: shape === 'embeddings' ? { bytes: 0, beginning: '' } : said,
    httpStatus: 0,
    errorCode: 'batch_result_unreadable',
  }
}

function resultOf(read: () => BatchResult): BatchResult | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}

function unreadOf({ picker, bytes }: LongLine): UnreadLine {
  const value = picker.value()
  const { custom_id } = (value ?? {}) as { custom_id?: unknown }
  return {
    customId: typeof custom_id === 'string' && custom_id !== '' ? custom_id : undefined,
    said: value === undefined ? { bytes: Math.min(bytes, maxUnreadableBytes), beginning: '' } : picker.text,
  }
}
