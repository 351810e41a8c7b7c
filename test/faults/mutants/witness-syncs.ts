/**
 * Loaded before the gateway: writes to the file `SLUICE_FAULT_SYNCS` what each sync of its journal has made durable, so that
 * a power cut can be played afterwards: see `power-cut.ts`.
 */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

const directory = process.env.GATEWAY_JOURNAL_DIR ?? ''
const log = fs.openSync(process.env.SLUICE_FAULT_SYNCS ?? '', 'a')
const { fdatasync, fdatasyncSync, fsync, fsyncSync, writeSync } = fs
// On a line of its own: a kill may have left half a line.
writeSync(log, `\n${JSON.stringify({ startedAtMs: performance.timeOrigin })}\n`)

/** What a sync that begins now will cover, and its line in the log. */
function beginning(fd: number): () => void {
  const { ino, size } = fs.fstatSync(fd)
  const isDirectory = fs.fstatSync(fd).isDirectory()
  const names = isDirectory
    ? Object.fromEntries(fs.readdirSync(directory).map(name => [name, inodeOf(`${directory}/${name}`)]))
    : undefined
  const beganAtMs = performance.timeOrigin + performance.now()
  // One that a kill finds under way is never heard of again.
  if (!isDirectory) writeSync(log, `${JSON.stringify({ ino, beganAtMs })}\n`)
  return () => {
    const tookMs = performance.timeOrigin + performance.now() - beganAtMs
    writeSync(log, `${JSON.stringify(names ? { names } : { ino, size, beganAtMs, tookMs })}\n`)
  }
}

function inodeOf(path: string): number | undefined {
  return fs.statSync(path, { throwIfNoEntry: false })?.ino
}

function withWitness(sync: typeof fs.fsync): typeof fs.fsync {
  return ((fd: number, done: fs.NoParamCallback) => {
    const wrote = beginning(fd)
    sync(fd, error => {
      if (!error) wrote()
      done(error)
    })
  }) as typeof fs.fsync
}

function withWitnessSync(sync: typeof fs.fsyncSync): typeof fs.fsyncSync {
  return fd => {
    const wrote = beginning(fd)
    sync(fd)
    wrote()
  }
}

fs.fdatasync = withWitness(fdatasync as typeof fs.fsync) as typeof fs.fdatasync
fs.fsync = withWitness(fsync)
fs.fdatasyncSync = withWitnessSync(fdatasyncSync)
fs.fsyncSync = withWitnessSync(fsyncSync)
syncBuiltinESMExports()

// How late the event loop is: a process without a turn neither writes nor syncs.
const everyMs = 5
let expectedMs = performance.now() + everyMs
setInterval(() => {
  const now = performance.now()
  const beat = { beatMs: performance.timeOrigin + now, lateMs: Math.max(0, now - expectedMs) }
  expectedMs = now + everyMs
  writeSync(log, `${JSON.stringify(beat)}\n`)
}, everyMs).unref()
