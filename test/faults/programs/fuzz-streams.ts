/**
 * Every tap that `packages/usage` exports meets every stream that its fixtures hold, in random chunks and cut off anywhere.
 * What one piece gives, at the same length, is the measure; of the whole, what the table of the fixtures says. Prints the
 * outcome as JSON.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import * as usage from '@sluice/usage'
import { seededRandom } from '../random.ts'
import type { Outcome } from '../scenario.ts'
import { tellProgress } from './tell-progress.ts'

const { runs, repeatedMiB, seed } = JSON.parse(process.argv[2] ?? '{}') as {
  runs: number
  repeatedMiB: number
  seed: number
}
const folder = join(import.meta.dirname, '..', '..', '..', 'packages', 'usage', 'src', 'fixtures')
const random = seededRandom(seed)
const below = (end: number): number => Math.floor(random() * end)

/** A row of the table: a stream, the tap that reads it, and what that reads in it. */
interface OwnStream {
  stream: string
  tap: string
  options: object
  quantities: object
  parts?: object[]
  failed?: true
}
const table = JSON.parse(readFileSync(join(folder, 'streams.json'), 'utf8')) as OwnStream[]

/** What any tap may be asked to open with, to read what is not meant for it. */
const foreignOptions = { model: 'model', input: {}, partialImages: 0, unwrap: false, inputTokens: 0 }
const taps = Object.entries(usage)
  .filter(([name]) => /^open\w+Tap$/.test(name))
  .map(([name, open]) => ({ name, open: open as (options: object) => usage.StreamTap }))
const fixtures = readdirSync(folder)
  .filter(file => file.endsWith('.sse'))
  .map(file => ({ file, bytes: readFileSync(join(folder, file)) }))

/** What a tap knows when it has had this much of a stream in one piece: all that must not depend on chunks. */
interface Known {
  usage: string
  outputBytes: number
  ended: boolean
  failed: boolean
  measured: boolean
}
const knownOf = (tap: usage.StreamTap): Known => ({
  usage: JSON.stringify(tap.usage({ inputTokens: 100 })),
  outputBytes: tap.outputBytes,
  ended: tap.ended,
  failed: tap.failed,
  measured: tap.measured,
})

interface Pair {
  tap: { name: string; open: () => usage.StreamTap }
  /** Absent: the stream is not meant for this tap. */
  own: OwnStream | undefined
  file: string
  bytes: Buffer
  /** By length of what was seen: each length at which an event ends, ascending. */
  borders: number[]
  known: Known[]
}

function lookAtInOnePiece({ name, open }: (typeof taps)[number], file: string, bytes: Buffer): Pair {
  const own = table.find(row => row.tap === name && `${row.stream}.sse` === file)
  const tap = { name, open: () => open(own?.options ?? foreignOptions) }
  const pair: Pair = { tap, own, file, bytes, borders: [0], known: [knownOf(tap.open())] }
  for (let feed = bytes.indexOf(0x0a); feed !== -1; feed = bytes.indexOf(0x0a, feed + 1)) {
    const length = feed + 1
    const opened = tap.open()
    if (opened.write(bytes.subarray(0, length)) !== length) continue
    pair.borders.push(length)
    pair.known.push(knownOf(opened))
  }
  return pair
}

const pairs = taps.flatMap(tap => fixtures.map(({ file, bytes }) => lookAtInOnePiece(tap, file, bytes)))
/** The tap has read in the whole stream what the table says. */
function isRead({ own, tap, bytes }: Pair): boolean {
  const opened = tap.open()
  opened.write(bytes)
  const { quantities, parts } = opened.usage()
  return (
    own !== undefined &&
    isDeepStrictEqual(quantities, own.quantities) &&
    isDeepStrictEqual(parts, own.parts) &&
    opened.failed === (own.failed ?? false)
  )
}
const own = pairs.filter(pair => pair.own !== undefined)
const foreign = pairs.filter(pair => pair.own === undefined)

const found = { differences: [] as string[], exceptions: [] as string[], shrinks: [] as string[] }
for (const { tap, file, known } of pairs)
  for (const [index, { outputBytes }] of known.entries())
    if (outputBytes < (known[index - 1]?.outputBytes ?? 0)) found.shrinks.push(`${tap.name} of ${file}`)

/** Cuts that like the places where something may be torn: line ends, and single bytes. */
function randomCuts(bytes: Buffer, length: number): number[] {
  const cuts = new Set<number>()
  for (let i = below(24); i > 0; i--) {
    const at = below(length)
    if (random() < 0.5) cuts.add(at)
    else {
      const feed = bytes.indexOf(0x0a, at)
      if (feed !== -1 && feed < length) cuts.add(feed + below(3))
    }
  }
  if (random() < 0.1) for (let at = below(length); at < length && cuts.size < 200; at++) cuts.add(at)
  return [...cuts].filter(at => at > 0 && at < length).sort((a, b) => a - b)
}

function playOnce({ tap, file, bytes, borders, known }: Pair): void {
  const length = random() < 0.5 ? bytes.length : below(bytes.length + 1)
  const cuts = length === 0 ? [] : randomCuts(bytes, length)
  const opened = tap.open()
  const passes = random() < 0.5
  const out: Uint8Array[] = []
  let from = 0
  for (const to of [...cuts, length]) {
    // A chunk of its own memory, gone afterwards, as a socket gives it.
    const chunk = Buffer.from(bytes.subarray(from, to))
    if (passes) out.push(...opened.forward(chunk).map(part => Buffer.from(part)))
    else opened.write(chunk)
    chunk.fill(0xff)
    from = to
  }
  if (passes) out.push(...opened.flush())
  const seen = knownOf(opened)
  const border = borders.findLastIndex(at => at <= length)
  const expected = known[border]
  if (JSON.stringify(seen) !== JSON.stringify(expected))
    found.differences.push(`${tap.name} of ${file}, ${length} bytes cut at ${cuts.join(',')}`)
  if (passes && !Buffer.concat(out).equals(bytes.subarray(0, length)))
    found.differences.push(`bytes of ${tap.name} of ${file}, ${length} bytes cut at ${cuts.join(',')}`)
}

let played = 0
function play(pair: Pair, times: number): void {
  for (let i = 0; i < times; i++) {
    played += 1
    try {
      playOnce(pair)
    } catch (error) {
      found.exceptions.push(`${pair.tap.name} of ${pair.file}: ${error}`)
    }
  }
}

/**
 * What is alive, once everything that can go is gone: buffers go a turn of the loop after what held them. To collect takes most of
 * what a short run takes: no oftener than until it is `fewEnough`.
 */
async function alive(fewEnough = 0): Promise<number> {
  for (let i = 0; ; i++) {
    globalThis.gc?.()
    await setImmediate()
    const { heapUsed, arrayBuffers } = process.memoryUsage()
    if (i === 2 || heapUsed + arrayBuffers <= fewEnough) return heapUsed + arrayBuffers
  }
}

const boundOfOneStream = 1024 * 1024
const startedAt = performance.now()
for (const pair of own) play(pair, Math.min(runs, 200))
for (const pair of foreign) play(pair, Math.min(Math.ceil(runs / 50), 200))
const before = await alive()
const progress = tellProgress(own.length + foreign.length, 'pairs of a stream and a tap')
for (const [done, pair] of own.entries()) {
  progress(done)
  play(pair, runs)
}
for (const [done, pair] of foreign.entries()) {
  progress(own.length + done)
  play(pair, Math.ceil(runs / 50))
}
const grownBytes = (await alive()) - before

/**
 * One stream without end: its whole over and over, in one tap. What the tap keeps of it is what is alive more than before.
 * @param before what was alive @returns what is alive behind it
 */
async function aliveBehindLongStream({ tap, bytes }: Pair, before: number): Promise<number> {
  const opened = tap.open()
  const feed = (mebibytes: number): void => {
    for (let written = 0; written < mebibytes * 1024 * 1024; written += bytes.length) {
      const cut = Math.max(1, below(bytes.length))
      opened.write(Buffer.from(bytes.subarray(0, cut)))
      opened.write(Buffer.from(bytes.subarray(cut)))
    }
  }
  feed(repeatedMiB)
  const after = await alive(before + boundOfOneStream / 2)
  knownOf(opened)
  return after
}
const grown: number[] = []
let aliveBefore = await alive()
for (const pair of own) {
  const after = await aliveBehindLongStream(pair, aliveBefore)
  grown.push(after - aliveBefore)
  // The engine lets go of code that nobody runs any more: what the next one keeps must not hide in that.
  aliveBefore = Math.min(aliveBefore, after)
}
const longest = Math.max(...grown)

const misread = own.filter(pair => !isRead(pair)).map(({ file }) => file)
const tapsWithout = taps.filter(({ name }) => !own.some(({ tap }) => tap.name === name)).map(({ name }) => name)
const fixturesWithout = fixtures.filter(({ file }) => !own.some(pair => pair.file === file)).map(({ file }) => file)
const first = (list: string[]): string => (list.length === 0 ? 'none' : `${list.length}, first: ${list[0]}`)
const mib = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(1)} MiB`
const outcome: Outcome = {
  figures: {
    taps: taps.length,
    fixtures: fixtures.length,
    'streams played': played,
    seconds: ((performance.now() - startedAt) / 1000).toFixed(1),
    'heap grown over all of them': mib(grownBytes),
    'heap grown in one endless stream': mib(longest),
  },
  kept: [
    {
      promise: 'usage and bytes do not depend on chunks or on what was cut off behind the last event',
      kept: found.differences.length === 0,
      found: first(found.differences),
    },
    { promise: 'no exception', kept: found.exceptions.length === 0, found: first(found.exceptions) },
    { promise: 'a longer beginning never says less', kept: found.shrinks.length === 0, found: first(found.shrinks) },
    { promise: 'memory is bounded over many streams', kept: grownBytes < 4 * 1024 * 1024, found: mib(grownBytes) },
    { promise: 'memory is bounded in one stream', kept: longest < boundOfOneStream, found: mib(longest) },
    {
      promise: 'every stream has a tap that reads from it what the table says, every tap a stream',
      kept: own.length === table.length && misread.length + tapsWithout.length + fixturesWithout.length === 0,
      found: first([...misread, ...tapsWithout, ...fixturesWithout]),
    },
  ],
}
process.stdout.write(`${JSON.stringify(outcome)}\n`)
