import { type RecordText, recordType } from './record.ts'

/**
 * The JSON of a CLOSE begins with its place in the series, in fixed order, so that its number is read without parsing the
 * event: `{"gateway_id":"gw_…","epoch":3,"partition":5,"seq":1234,"event_id":…`.
 */
export function closeLine(
  prefix: string,
  partition: number,
  seq: number,
  { ids, facts, json, tail }: DraftText,
): RecordText {
  const place = `${prefix}${partition},"seq":${seq}`
  const lead = ids === undefined || facts === undefined ? [place] : [`${place},${ids},`, facts]
  return { type: recordType.close, lead, json, tail }
}

/** An event without its place, in pieces. */
export interface DraftText extends Pick<RecordText, 'json' | 'tail'> {
  /** Members that stand before those of `json`; absent: they are among them. */
  ids?: string
  facts?: string
}

/** What every CLOSE of an epoch begins with. */
export function closePrefix(gatewayId: string, epoch: number): string {
  return `{"gateway_id":${JSON.stringify(gatewayId)},"epoch":${epoch},"partition":`
}

/** Where a CLOSE stands in its series. `prefixBytes`: the length of the epoch's {@link closePrefix}. */
export function placeOfLine(json: Buffer, prefixBytes: number): { partition: number; seq: number } {
  const partitionEnd = digitsEnd(json, prefixBytes)
  const seqStart = partitionEnd + seqName.length
  return {
    partition: readDigits(json, prefixBytes, partitionEnd),
    seq: readDigits(json, seqStart, digitsEnd(json, seqStart)),
  }
}

const seqName = ',"seq":'
const zero = 0x30
const nine = 0x39

function digitsEnd(json: Buffer, start: number): number {
  let at = start
  for (let byte = json[at] ?? 0; byte >= zero && byte <= nine; byte = json[at] ?? 0) at++
  return at
}

function readDigits(json: Buffer, start: number, end: number): number {
  let number = 0
  for (let at = start; at < end; at++) number = number * 10 + (json[at] ?? 0) - zero
  return number
}
