import { ContractError } from './define-event.ts'
import { PARTITIONS } from './partitions.ts'

/** One numbered series of events. Numbers start at 1 and have no gaps: the event of a CLOSE gets the next one. */
export interface Series {
  gatewayId: string
  epoch: number
  partition: number
}

/** A message on `usage.recorded.v1.<partition>` carries the events `first..last` of one series, both included. */
export interface SeriesRange extends Series {
  first: number
  last: number
}

/** Message headers that name the range. The body is NDJSON: one event a line, in order. */
export const seriesHeaders = {
  gateway: 'Sluice-Gateway',
  epoch: 'Sluice-Epoch',
  partition: 'Sluice-Partition',
  first: 'Sluice-First',
  last: 'Sluice-Last',
} as const

/** `<gateway>.<epoch>.<partition>`: the KV key of a series in bucket `marks`. */
export function seriesKey(series: Series): string {
  return `${series.gatewayId}.${series.epoch}.${series.partition}`
}

/** The reverse of {@link seriesKey}. @throws ContractError */
export function parseSeriesKey(key: string): Series {
  const [gatewayId, epoch, partition] = key.split('.')
  if (!gatewayId || !epoch || !partition) throw new ContractError(`series key: ${key}`)
  return { gatewayId, epoch: Number(epoch), partition: Number(partition) }
}

/** CloudEvents `id` and NATS `msgID` of a batch: the same range sent twice has the same id. */
export function rangeId(range: SeriesRange): string {
  return `${seriesKey(range)}.${range.first}-${range.last}`
}

/** Headers for a range, by name. */
export function rangeToHeaders(range: SeriesRange): [string, string][] {
  return [
    [seriesHeaders.gateway, range.gatewayId],
    [seriesHeaders.epoch, String(range.epoch)],
    [seriesHeaders.partition, String(range.partition)],
    [seriesHeaders.first, String(range.first)],
    [seriesHeaders.last, String(range.last)],
  ]
}

/** Numbers of a series stay below: stores keep series and number in one 64-bit space. */
const numbersEnd = 2 ** 40

/** Reads a range from headers. @throws ContractError where one is missing, or is none that a series can have */
export function rangeFromHeaders(get: (name: string) => string): SeriesRange {
  const integer = (name: string, minimum: number, end = Number.MAX_SAFE_INTEGER): number => {
    const value = Number(get(name))
    if (!Number.isSafeInteger(value) || value < minimum || value >= end)
      throw new ContractError(`header ${name}: not an integer`)
    return value
  }
  const gatewayId = get(seriesHeaders.gateway)
  if (!gatewayId) throw new ContractError(`header ${seriesHeaders.gateway}: missing`)
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(gatewayId)) throw new ContractError(`header ${seriesHeaders.gateway}: not an id`)
  const range = {
    gatewayId,
    epoch: integer(seriesHeaders.epoch, 1),
    partition: integer(seriesHeaders.partition, 0, PARTITIONS),
    first: integer(seriesHeaders.first, 1, numbersEnd),
    last: integer(seriesHeaders.last, 1, numbersEnd),
  }
  if (range.last < range.first) throw new ContractError('range: last is before first')
  return range
}
