import { readdirSync, readFileSync, rmSync, statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'

/** What a power cut took from a journal. */
export interface Cut {
  lostBytes: number
  /** When the oldest record of the lost bytes was written. */
  oldestLostAtMs: number | undefined
  /** The longest sync since then, one that was under way at the cut included. */
  longestSyncMs: number
  /** How much of the time since then the gateway got no turn. */
  stalledMs: number
}

/** What the gateway has told of itself: see `mutants/witness-syncs.ts`. */
interface Witness {
  /** How much of each file is safe. */
  sizes: Map<number, number>
  names: Record<string, number>
  syncs: { endedAtMs: number; tookMs: number }[]
  stalls: { endedAtMs: number; tookMs: number }[]
}

/**
 * Takes from the journal of a killed gateway what a power cut could take: names that no sync of the directory covers, and the
 * bytes of each file behind its last good sync.
 */
export function cutPower(directory: string, syncsFile: string, killedAtMs: number): Cut {
  const { sizes, names, syncs, stalls } = readWitness(syncsFile, killedAtMs)
  let lostBytes = 0
  let oldestLostAtMs: number | undefined
  for (const name of readdirSync(directory)) {
    const path = join(directory, name)
    const found = statSync(path)
    // Folders beside the records hold nothing of them.
    if (found.isDirectory()) continue
    const { ino, size } = found
    const safe = names[name] === ino ? Math.min(size, sizes.get(ino) ?? 0) : 0
    if (name.endsWith('.journal') && safe < size) {
      lostBytes += size - safe
      for (const atMs of timesOfRecords(readFileSync(path).subarray(safe)))
        oldestLostAtMs = Math.min(oldestLostAtMs ?? atMs, atMs)
    }
    if (names[name] === ino) truncateSync(path, safe)
    else rmSync(path)
  }
  // What was over before the record was written did not hold up its sync.
  const since = (times: Witness['syncs']): number[] =>
    times.filter(({ endedAtMs }) => endedAtMs > (oldestLostAtMs ?? killedAtMs)).map(each => each.tookMs)
  return {
    lostBytes,
    oldestLostAtMs,
    longestSyncMs: Math.max(0, ...since(syncs)),
    stalledMs: since(stalls).reduce((sum, ms) => sum + ms, 0),
  }
}

function readWitness(syncsFile: string, killedAtMs: number): Witness {
  const witness: Witness = { sizes: new Map(), names: {}, syncs: [], stalls: [] }
  let lastBeatMs = killedAtMs
  const underWay = new Set<number>()
  for (const line of readFileSync(syncsFile, 'utf8').split('\n')) {
    const told = wholeLine(line)
    if (told === undefined) continue
    if (told.startedAtMs) underWay.clear()
    else if (told.names) witness.names = told.names
    else if (told.beatMs) {
      witness.stalls.push({ endedAtMs: told.beatMs, tookMs: told.lateMs })
      lastBeatMs = told.beatMs
    } else if (told.tookMs === undefined) underWay.add(told.beganAtMs)
    else {
      underWay.delete(told.beganAtMs)
      witness.sizes.set(told.ino, told.size)
      witness.syncs.push({ endedAtMs: told.beganAtMs + told.tookMs, tookMs: told.tookMs })
    }
  }
  for (const beganAtMs of underWay)
    witness.syncs.push({ endedAtMs: Number.POSITIVE_INFINITY, tookMs: killedAtMs - beganAtMs })
  // The stall that the kill found has no beat behind it.
  witness.stalls.push({ endedAtMs: Number.POSITIVE_INFINITY, tookMs: killedAtMs - lastBeatMs })
  return witness
}

/** undefined: of a line that a kill has cut off, which tells nothing, or of none. */
function wholeLine(line: string) {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}

/** When the attempts' records in a row of frames (`u32 length | u32 checksum | type, JSON`) were written. */
function timesOfRecords(frames: Buffer): number[] {
  const times: number[] = []
  for (let at = 0; at + 8 < frames.length; ) {
    const length = frames.readUInt32LE(at)
    if (length === 0 || at + 8 + length > frames.length) break
    const record = JSON.parse(frames.toString('utf8', at + 9, at + 8 + length))
    const atMs = record.finished_at_ms ?? record.at_ms ?? record.admitted_at_ms
    if (typeof atMs === 'number' && record.event_id !== undefined) times.push(atMs)
    at += 8 + length
  }
  return times
}
