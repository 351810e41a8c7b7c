import { createHash } from 'node:crypto'
import { ContractError, checkOf, Type } from '@sluice/contracts'
import type { Static } from 'typebox'

const Count = Type.Integer({ minimum: 0 })
const Money = Type.String({ pattern: '^-?[0-9]{1,40}$' })
const Sha256 = Type.String({ pattern: '^[0-9a-f]{64}$' })
const Day = Type.String({ pattern: '^[0-9]{4}-[0-9]{2}-[0-9]{2}$' })

const Segment = Type.Object({
  name: Type.String(),
  kind: Type.Union([Type.Literal('usage'), Type.Literal('adjustments')]),
  sha256: Sha256,
  bytes: Count,
  text_bytes: Count,
  batches: Count,
  events: Count,
  /** Sum of the events' costs, or of the corrections' differences. */
  cost_nano_usd: Money,
  /** Batches of usage, numbers of corrections. */
  first: Money,
  last: Money,
})
/** One file of the archive: NDJSON, zstd, never changed. */
export type Segment = Static<typeof Segment>

const DayDocument = Type.Object({
  format: Type.Literal(1),
  day: Day,
  /** Days are numbered from 1 in the order of the chain. */
  number: Type.Integer({ minimum: 1 }),
  /** The day before in the chain: whoever changes a day would have to change every later one. */
  previous: Type.Union([Type.Null(), Type.Object({ day: Day, hash: Sha256 })]),
  segments: Type.Array(Segment),
  batches: Count,
  events: Count,
  cost_nano_usd: Money,
  adjustments: Count,
  adjustments_nano_usd: Money,
  archived_at_ms: Count,
  hash: Sha256,
})
/** The manifest of one posting day. */
export type DayDocument = Static<typeof DayDocument>

const { matches, problems } = checkOf(DayDocument)

/** Where the manifest of a day lies. */
export function dayName(day: string): string {
  return `days/${day}.json`
}

/** A manifest from its segments, with its hash. */
export function makeDayDocument(
  day: Pick<DayDocument, 'day' | 'number' | 'previous' | 'segments' | 'archived_at_ms'>,
): DayDocument {
  const usage = day.segments.filter(segment => segment.kind === 'usage')
  const adjustments = day.segments.filter(segment => segment.kind === 'adjustments')
  const sum = (segments: readonly Segment[], of: 'batches' | 'events') =>
    segments.reduce((total, segment) => total + segment[of], 0)
  const money = (segments: readonly Segment[]) =>
    segments.reduce((total, segment) => total + BigInt(segment.cost_nano_usd), 0n).toString()
  const document = {
    format: 1 as const,
    day: day.day,
    number: day.number,
    previous: day.previous,
    segments: day.segments,
    batches: sum(usage, 'batches'),
    events: sum(usage, 'events'),
    cost_nano_usd: money(usage),
    adjustments: sum(adjustments, 'events'),
    adjustments_nano_usd: money(adjustments),
    archived_at_ms: day.archived_at_ms,
  }
  return { ...document, hash: hashOf(document) }
}

/** The text of a manifest, byte for byte as it is archived. */
export function writeDayDocument(document: DayDocument): string {
  return `${JSON.stringify(document)}\n`
}

/** Reads a manifest and holds it against its own hash. @throws ContractError where a byte of it is not as it was written */
export function readDayDocument(text: string): DayDocument {
  let document: unknown
  try {
    document = JSON.parse(text)
  } catch {
    throw new ContractError('it is not JSON')
  }
  if (!matches(document)) {
    const [first] = problems(document)
    throw new ContractError(`${first?.instancePath || '/'} ${first?.message ?? 'does not match'}`)
  }
  const { hash, ...rest } = document
  if (hashOf(rest) !== hash || writeDayDocument(document) !== text)
    throw new ContractError('its content does not have the hash that it names')
  return document
}

function hashOf(document: Omit<DayDocument, 'hash'>): string {
  return createHash('sha256').update(JSON.stringify(document)).digest('hex')
}
