import { readdirSync, readFileSync, rmSync, statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'

/** What a power cut took from a journal. */
export interface Cut {
  lostBytes: number
  /** When the oldest record of the lost bytes was written. */
  oldestLostAtMs: number | undefined
  /** The longest sync in the second before. */
  longestSyncMs: number
  /** The longest time in the second before in which the gateway got no turn. */
  longestStallMs: number
}

/**
 * Takes from the journal of a killed gateway what a power cut could take: names that no sync of the directory covers, and the
 * bytes of each file behind its last good sync (`mutants/witness-syncs.ts` has written them down).
 */
export function cutPower(directory: string, syncsFile: string, killedAtMs: number): Cut {
  const sizes = new Map<number, number>()
  let names: Record<string, number> = {}
  let longestSyncMs = 0
  let longestStallMs = 0
  let lastBeatMs = killedAtMs
  for (const line of readFileSync(syncsFile, 'utf8').split('\n')) {
    if (line === '') continue
    const sync = JSON.parse(line)
    if (sync.names) names = sync.names
    else if (sync.beatMs) {
      if (sync.beatMs > killedAtMs - 1_000) longestStallMs = Math.max(longestStallMs, sync.lateMs)
      // The stall that the kill found has no beat behind it.
      lastBeatMs = sync.beatMs
    } else {
      sizes.set(sync.ino, sync.size)
      if (sync.beganAtMs > killedAtMs - 1_000) longestSyncMs = Math.max(longestSyncMs, sync.tookMs)
    }
  }
  longestStallMs = Math.max(longestStallMs, killedAtMs - lastBeatMs)
  const cut: Cut = { lostBytes: 0, oldestLostAtMs: undefined, longestSyncMs, longestStallMs }
  for (const name of readdirSync(directory)) {
    const path = join(directory, name)
    const found = statSync(path)
    // Folders beside the records hold nothing of them.
    if (found.isDirectory()) continue
    const { ino, size } = found
    const safe = names[name] === ino ? Math.min(size, sizes.get(ino) ?? 0) : 0
    if (name.endsWith('.journal') && safe < size) {
      cut.lostBytes += size - safe
      for (const atMs of timesOfRecords(readFileSync(path).subarray(safe)))
        cut.oldestLostAtMs = Math.min(cut.oldestLostAtMs ?? atMs, atMs)
    }
    if (names[name] === ino) truncateSync(path, safe)
    else rmSync(path)
  }
  return cut
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
