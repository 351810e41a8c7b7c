import assert from 'node:assert/strict'
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { partitionOf, UsageRecorded, type UsageRecordedData } from '@sluice/contracts'
import { compilePriceBook, rate as rateUsage, readPriceFile } from '@sluice/pricing'
import { importCatalogue } from '@sluice/pricing/catalogue'
import { createLogger } from '@sluice/runtime'
import { epochSource } from '../src/journal/epoch-source.ts'
import { killedDraft } from '../src/journal/killed-draft.ts'
import type { CheckpointRecord, OpenRecord } from '../src/journal/open-record.ts'
import { readFrame, recordType } from '../src/journal/record.ts'
import { type EndedEpoch, endEpoch } from '../src/journal/replay.ts'
import { RunningEpoch } from '../src/journal/running-epoch.ts'
import { listSegments } from '../src/journal/segment.ts'
import { rateKilled } from '../src/rate-killed.ts'
import type { PricesView } from '../src/views/prices-view.ts'
import { draftOf, openRecord, projects } from './journal-env.ts'

const log = createLogger('gateway', 'silent')
const rate = () => ({ priced: true, line_items: [], cost_nano_usd: 7 })

function folder(t: { after: (clean: () => void) => void }): string {
  const path = mkdtempSync(join(tmpdir(), 'sluice-replay-'))
  t.after(() => rmSync(path, { recursive: true, force: true }))
  return path
}

const replay = (directory: string): Promise<EndedEpoch | undefined> =>
  endEpoch({ directory, segments: listSegments(directory), rate, endedBy: 'gw_2', log })

interface Records {
  opened: Set<string>
  closed: UsageRecordedData[]
  ends: number
}

/** What the files hold, read by hand. */
function read(directory: string): Records {
  const records: Records = { opened: new Set(), closed: [], ends: 0 }
  for (const { path } of listSegments(directory)) {
    const bytes = readFileSync(path)
    let at = 0
    for (let frame = readFrame(bytes, at); typeof frame === 'object'; frame = readFrame(bytes, at)) {
      if (frame.type === recordType.open) records.opened.add(JSON.parse(frame.json.toString()).event_id)
      if (frame.type === recordType.close) records.closed.push(UsageRecorded.decode(frame.json))
      if (frame.type === recordType.end) records.ends++
      at = frame.end
    }
  }
  return records
}

/** The whole records of a segment. */
function framesOf(bytes: Buffer): { start: number; end: number; json: Buffer }[] {
  const frames: { start: number; end: number; json: Buffer }[] = []
  let start = 0
  for (let frame = readFrame(bytes, start); typeof frame === 'object'; frame = readFrame(bytes, start)) {
    frames.push({ start, end: frame.end, json: frame.json })
    start = frame.end
  }
  return frames
}

/** Every opened attempt has one event, and every series is 1, 2, 3 … */
function assertSettled({ opened, closed, ends }: Records): void {
  assert.deepEqual(new Set(closed.map(event => event.event_id)), opened)
  assert.equal(closed.length, opened.size)
  assert.equal(ends, 1)
  const bySeries = Map.groupBy(closed, event => event.partition)
  for (const [partition, events] of bySeries) {
    assert.deepEqual(
      events.map(event => event.seq).sort((a, b) => a - b),
      events.map((_, index) => index + 1),
    )
    for (const event of events) assert.equal(partitionOf(event.identity.project_id), partition)
  }
}

function checkpointOf(open: OpenRecord, output: number): CheckpointRecord {
  return {
    event_id: open.event_id,
    at_ms: open.admitted_at_ms + output,
    output_bytes: output * 4,
    quantities: { in_text: 11, out_text: output },
    provenance: { in_text: 'measured', out_text: 'estimated' },
    modifiers: { service_tier: 'priority', inference_geo: 'us' },
    served_model: 'gpt-4.1-2025-04-14',
    http_status: 200,
  }
}

async function write(directory: string): Promise<OpenRecord[]> {
  const epoch = new RunningEpoch({ directory, gatewayId: 'gw_1', epoch: 1, log, reserveBytes: 4096 })
  const records = Array.from({ length: 6 }, (_, i) => openRecord(projects[i % projects.length]))
  for (const [index, record] of records.entries()) {
    epoch.open(record)
    epoch.checkpoint(checkpointOf(record, 5))
    if (index > 1) epoch.close(draftOf(record), false)
    else epoch.checkpoint(checkpointOf(record, 9))
  }
  await epoch.synced()
  await epoch.stop()
  return records
}

test('an attempt without a CLOSE is settled from its last CHECKPOINT, else from its estimated input', async t => {
  const directory = folder(t)
  const epoch = new RunningEpoch({ directory, gatewayId: 'gw_1', epoch: 1, log, reserveBytes: 4096 })
  const [streaming, silent] = [openRecord(), openRecord()]
  epoch.open(streaming)
  epoch.open(silent)
  epoch.checkpoint(checkpointOf(streaming, 3))
  epoch.checkpoint(checkpointOf(streaming, 8))
  await epoch.synced()
  await epoch.stop()
  const ended = await replay(directory)
  assert.equal(ended?.last[partitionOf(streaming.identity.project_id)], 2)
  const records = read(directory)
  assertSettled(records)
  const [first, second] = records.closed
  assert.equal(first?.status, 'killed')
  assert.deepEqual(first?.quantities, { in_text: 11, out_text: 8 })
  assert.deepEqual(first?.provenance, { in_text: 'measured', out_text: 'estimated' })
  assert.equal(first?.served_model, 'gpt-4.1-2025-04-14')
  assert.deepEqual(first?.modifiers, { service_tier: 'priority', inference_geo: 'us' }, 'the rate it was served at')
  assert.deepEqual(second?.modifiers, {})
  assert.equal(first?.duration_ms, 8)
  assert.equal(first?.cost_nano_usd, 7)
  assert.deepEqual(second?.quantities, { in_text: 12 })
  assert.deepEqual(second?.provenance, { in_text: 'estimated' })
  assert.equal(second?.http_status, 0)
})

test('a killed call for images costs its size and quality, and what another model did of a killed one has that model’s prices', async t => {
  const directory = folder(t)
  const epoch = new RunningEpoch({ directory, gatewayId: 'gw_1', epoch: 1, log, reserveBytes: 4096 })
  const image: OpenRecord = {
    ...openRecord(),
    endpoint: 'images.generations',
    requested_model: 'dall-e-3',
    estimated_input: { images: 1 },
    asked_modifiers: { image_size: '1024x1792', image_quality: 'hd' },
  }
  const mixed: OpenRecord = { ...openRecord(), dialect: 'openai', provider: 'openai', requested_model: 'gpt-5.4' }
  epoch.open(image)
  epoch.open(mixed)
  const quantities = { in_text: 1_000_000 }
  epoch.checkpoint({
    ...checkpointOf(mixed, 0),
    modifiers: {},
    quantities,
    parts: [{ model: 'gpt-5.4-mini', quantities }],
  })
  await epoch.synced()
  await epoch.stop()
  const book = compilePriceBook(importCatalogue({ atMs: Date.parse('2026-11-20') }).book)
  const prices = { find: () => book, isPublished: () => true } as unknown as PricesView
  await endEpoch({
    directory,
    segments: listSegments(directory),
    rate: (draft, parts) => rateKilled(prices, draft, parts),
    endedBy: 'gw_2',
    log,
  })
  const { closed } = read(directory)
  const costOf = ({ event_id }: OpenRecord) => closed.find(event => event.event_id === event_id)?.cost_nano_usd
  assert.equal(costOf(image), 120_000_000)
  assert.equal(costOf(mixed), rate1M('gpt-5.4-mini'))
  assert.notEqual(costOf(mixed), rate1M('gpt-5.4'))

  function rate1M(model: string): number {
    const provider = 'openai'
    return rateUsage({ book }, { provider, model, quantities, modifiers: {} }).cost_nano_usd
  }
})

test('turns of the model that a killed call was served by have the price of the call, by whichever name that is', () => {
  const atMs = Date.parse('2026-11-20')
  const own = { id: 'contract', names: ['claude-opus-4-5'], prices: { in_text: '1', out_text: '5' } }
  const books = new Map([
    ['book', compilePriceBook(importCatalogue({ atMs }).book)],
    ['own', compilePriceBook(readPriceFile({ source: 's', providers: { anthropic: { models: [own] } } }))],
  ])
  const prices = { find: (id: string) => books.get(id), isPublished: () => true } as unknown as PricesView
  const requested_model = 'claude-opus-4-5'
  const open: OpenRecord = { ...openRecord(), dialect: 'anthropic', provider: 'anthropic', requested_model }
  for (const [override, served_model, nanoUsd] of [
    [{ override_price_book_id: 'own' }, 'claude-opus-4-5-20251101', 200_000_000],
    [{}, 'nobody-knows-it', 1_000_000_000],
  ] as const) {
    const turn = { model: served_model, quantities: { in_text: 100_000 } }
    const quantities = { in_text: 200_000 }
    const checkpoint = { ...checkpointOf(open, 0), modifiers: {}, served_model, quantities }
    const rating = rateKilled(prices, killedDraft({ ...open, ...override }, checkpoint), [turn, turn])
    assert.deepEqual([rating.cost_nano_usd, rating.priced], [nanoUsd, true], served_model)
  }
})

test('torn at any byte, a journal is replayed to one event for each attempt it still knows', async t => {
  const directory = folder(t)
  await write(directory)
  const [segment] = listSegments(directory)
  assert.ok(segment)
  const whole = readFileSync(segment.path)
  const header = readFrame(whole, 0)
  assert.ok(typeof header === 'object')
  const torn = join(directory, 'torn')
  mkdirSync(torn)
  const path = join(torn, '0000000001-0000000001.journal')
  for (let length = header.end; length <= whole.length; length += 41) {
    writeFileSync(path, whole.subarray(0, length))
    assert.ok(await replay(torn))
    assertSettled(read(torn))
  }
})

test('replay that is ended in its middle goes on the next time and pays nothing twice', async t => {
  const directory = folder(t)
  await write(directory)
  const [segment] = listSegments(directory)
  assert.ok(segment)
  const before = statSync(segment.path).size
  await replay(directory)
  const after = statSync(segment.path).size
  const half = join(directory, 'half')
  mkdirSync(half)
  const path = join(half, '0000000001-0000000001.journal')
  for (let length = before; length <= after; length += 37) {
    copyFileSync(segment.path, path)
    truncateSync(path, length)
    const ended = await replay(half)
    const records = read(half)
    assertSettled(records)
    assert.equal(ended?.end.offset, statSync(path).size)
  }
  const once = readFileSync(segment.path)
  await replay(directory)
  assert.deepEqual(readFileSync(segment.path), once)
})

test('a CLOSE that the disk has damaged is replaced under its own number', async t => {
  const directory = folder(t)
  const epoch = new RunningEpoch({
    directory,
    gatewayId: 'gw_1',
    epoch: 1,
    log,
    reserveBytes: 4096,
    segmentBytes: 3_000,
  })
  for (let i = 0; i < 8; i++) {
    const record = openRecord()
    epoch.open(record)
    epoch.close(draftOf(record), false)
    await epoch.synced()
  }
  await epoch.stop()
  const [first, second] = listSegments(directory)
  assert.ok(first && second)
  const bytes = readFileSync(first.path)
  const at = bytes.indexOf('"seq":1,')
  bytes[at + 2] = 0x21
  writeFileSync(first.path, bytes)
  await replay(directory)
  const closed: UsageRecordedData[] = []
  for (const { path } of listSegments(directory).slice(1)) {
    const rest = readFileSync(path)
    for (let offset = 0, frame = readFrame(rest, 0); typeof frame === 'object'; frame = readFrame(rest, offset)) {
      if (frame.type === recordType.close) closed.push(UsageRecorded.decode(frame.json))
      offset = frame.end
    }
  }
  assert.deepEqual(
    closed.filter(event => event.seq === 1).map(event => event.status),
    ['killed'],
  )
})

/** Damages bytes of a segment from the record of `"seq":<seq>,` on. */
const damages: Record<string, (bytes: Buffer, start: number, end: number) => void> = {
  'a flipped byte': (bytes, start) => bytes.writeUInt8((bytes[start + 40] ?? 0) ^ 1, start + 40),
  'a length that leads nowhere': (bytes, start) => bytes.writeUInt32LE(0x7fffffff, start),
  'a length beyond the end': (bytes, start) => bytes.writeUInt32LE(3_000_000, start),
  'a page of zeros': (bytes, start, end) => bytes.fill(0, start, end),
}
for (const [name, damage] of Object.entries(damages)) {
  test(`${name} in the middle of the only segment takes no record behind it, and no number twice`, async t => {
    const directory = folder(t)
    const epoch = new RunningEpoch({ directory, gatewayId: 'gw_1', epoch: 1, log, reserveBytes: 4096 })
    const early = openRecord()
    epoch.open(early)
    const records = Array.from({ length: 8 }, () => openRecord())
    for (const record of records) {
      epoch.open(record)
      epoch.close(draftOf(record), false)
    }
    const late = openRecord()
    epoch.open(late)
    epoch.checkpoint(checkpointOf(early, 3))
    await epoch.synced()
    await epoch.stop()
    const [segment] = listSegments(directory)
    assert.ok(segment)
    const bytes = readFileSync(segment.path)
    const size = bytes.length
    const frames = framesOf(bytes)
    const third = frames.find(frame => frame.json.includes('"seq":3,'))
    assert.ok(third)
    damage(bytes, third.start, third.end)
    writeFileSync(segment.path, bytes)

    const ended = await replay(directory)
    assert.ok((ended?.end.offset ?? 0) > size, 'nothing is cut off')
    const source = epochSource({
      directory,
      gatewayId: 'gw_1',
      epoch: 1,
      before: [],
      from: () => 1,
      limit: () => ended?.end ?? { segment: 1, offset: 0 },
      log,
    })
    const published: UsageRecordedData[] = []
    for (let lines = await source.next(); lines.length > 0; lines = await source.next())
      for (const { json } of lines) published.push(UsageRecorded.decode(json))
    await source.close()
    const places = new Map(published.map(event => [event.event_id, event.seq]))
    assert.equal(places.size, published.length)
    for (const [index, record] of records.entries()) assert.equal(places.get(record.event_id), index + 1)
    assert.equal(published.find(event => event.seq === 3)?.status, 'killed')
    // Neither of them was closed before the damage: a number that may be published is not for them.
    assert.deepEqual([places.get(early.event_id), places.get(late.event_id)].sort(), [10, 9])
    assert.equal(ended?.last[partitionOf(early.identity.project_id)], 10)
  })
}

test('a process that died while it made its first segment leaves nothing to settle', async t => {
  for (const content of ['', '\0'.repeat(4096)]) {
    const directory = folder(t)
    writeFileSync(join(directory, '0000000001-0000000001.journal'), content)
    assert.equal(await replay(directory), undefined)
  }
})
