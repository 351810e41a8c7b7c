import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { eventually, type TestScope, type TestStack } from '@sluice/test-env'
import { type ClientCall, startLoad } from './load-client.ts'
import { type Preload, type Replacement, restartAsMutant, restartWith } from './mutant.ts'
import { judgeRun } from './run-views.ts'
import type { Outcome, Scenario, ScenarioRun } from './scenario.ts'

interface Size {
  /** How long clients rest between calls; absent: not at all. */
  pauseMs?: number
  connections: number
  /** Made before it breaks, at least. */
  callsBefore: number
  brokenSeconds: number
  /** `full`: no room. `eio`: writes and syncs fail. */
  fault: 'full' | 'eio'
  /** A real file system of its own where we may mount one, else a disk that is made to look full. */
  realDisk: boolean
}

/** Breaks the disk below the journal, and mends it. */
interface Disk {
  kind: string
  breakDown: () => void
  mend: () => void
}

async function smallFileSystem(scope: TestScope, stack: TestStack): Promise<Disk | undefined> {
  const folder = join(stack.home, 'small-disk')
  mkdirSync(folder)
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=96m', 'tmpfs', folder], { stdio: 'ignore' })
  } catch {
    return undefined
  }
  scope.after(() => {
    execFileSync('umount', ['--lazy', folder])
  })
  const { gateway } = stack.services
  await gateway.stop()
  gateway.plan.env.GATEWAY_JOURNAL_DIR = join(folder, 'journal')
  mkdirSync(join(folder, 'journal'))
  await gateway.start()
  await gateway.untilReady()
  const ballast = join(folder, 'ballast')
  return {
    kind: 'a tmpfs of 96 MB, filled',
    breakDown() {
      const { bavail, bsize } = statfsSync(folder)
      const room = Buffer.alloc(bavail * bsize)
      try {
        writeFileSync(ballast, room)
      } catch {
        // The journal took a block in between; there is none left, which was the aim.
      }
    },
    mend: () => rmSync(ballast, { force: true }),
  }
}

/** The same for all runs of this process: a gateway that looks for it serves them all. */
const flag = join(tmpdir(), `sluice-disk-is-broken-${process.pid}`)
const disguise: Preload = { name: 'broken-disk.ts', env: { SLUICE_FAULT_DISK: flag } }

function disguisedDisk(fault: Size['fault']): Disk {
  return {
    kind: fault === 'full' ? 'writes that grow a file answer ENOSPC' : 'writes and syncs answer EIO',
    breakDown: () => writeFileSync(flag, fault),
    mend: () => rmSync(flag, { force: true }),
  }
}

async function run(at: ScenarioRun, size: Size, mutant: readonly Replacement[] = []): Promise<Outcome> {
  const stack = await at.stack(size.realDisk ? {} : { preloads: { gateway: disguise } })
  const { gateway } = stack.services
  const real = size.realDisk ? await smallFileSystem(at.scope, stack) : undefined
  if (size.realDisk && !real) await restartWith(gateway, disguise)
  const disk = real ?? disguisedDisk(size.fault)
  if (mutant.length > 0) await restartAsMutant(gateway, mutant)
  const load = startLoad({
    origin: stack.url,
    apiKey: stack.apiKey,
    seed: at.seed,
    logFile: join(at.logs, 'client.ndjson'),
    connections: size.connections,
    pauseMs: size.pauseMs,
    streamed: 0.5,
  })
  let brokenAt = 0
  let mendedAt = 0
  let recoveredAt = 0
  try {
    await eventually(() => load.calls.length > size.callsBefore, { message: `${size.callsBefore} calls` })
    brokenAt = Date.now()
    disk.breakDown()
    at.say(`the disk is broken: ${disk.kind}`)
    await delay(size.brokenSeconds * 1000)
    mendedAt = Date.now()
    disk.mend()
    await eventually(() => load.calls.some(call => call.startedAtMs > mendedAt && call.ended === 'whole'), {
      message: 'a call that is answered after the disk is mended',
    })
    recoveredAt = Date.now()
    at.say('calls are answered again')
    await delay(500)
  } finally {
    disk.mend()
    await load.stop()
  }
  const outcome = await judgeRun(at, stack, load.calls)
  const refused = load.calls.filter(call => call.status === 503)
  const between = (from: number, to: number) => (call: ClientCall) => call.startedAtMs > from && call.startedAtMs < to
  // What comes just before the disk is mended may be looked at just after it.
  const admittedLate = load.calls.filter(between(brokenAt + 1000, mendedAt - 500)).filter(call => call.status === 200)
  const firstRefused = Math.min(...refused.map(call => call.startedAtMs + call.durationMs))
  Object.assign(outcome.figures, {
    disk: disk.kind,
    'broken for, s': ((mendedAt - brokenAt) / 1000).toFixed(1),
    'refused with 503': refused.length,
    'first 503 after, ms': Math.round(firstRefused - brokenAt),
    'answered again after, ms': recoveredAt - mendedAt,
  })
  outcome.kept.push(
    {
      promise: 'calls admitted later than 1 s after the disk broke',
      kept: admittedLate.length === 0 && refused.length > 0,
      found: `${admittedLate.length}, ${refused.length} refused`,
    },
    {
      promise: 'running calls that the disk broke',
      kept: load.calls.every(call => call.ended !== 'broken'),
      found: String(load.calls.filter(call => call.ended === 'broken').length),
    },
  )
  return outcome
}

/** Calls are let in although their OPEN has no place. */
const withoutOpen: Replacement[] = [
  {
    file: 'services/gateway/src/journal/running-epoch.ts',
    from: "if (this.state !== 'ok' || this.#ended) throw new JournalUnavailableError({ detail: this.state })",
    to: '',
  },
  {
    file: 'services/gateway/src/journal/running-epoch.ts',
    from: 'failed = new JournalUnavailableError({ cause })\n        this.#attempts.delete(record.event_id)',
    to: '',
  },
]

export const journalFull: Scenario<Size> = {
  name: 'journal-full',
  promise: 'With no room for the journal no new call is let in, running calls settle, and it recovers by itself',
  full: { connections: 24, callsBefore: 50, brokenSeconds: 20, fault: 'full', realDisk: true },
  small: { connections: 6, pauseMs: 250, callsBefore: 20, brokenSeconds: 3, fault: 'full', realDisk: false },
  run,
  mutant: {
    name: 'calls without an OPEN',
    size: { connections: 8, callsBefore: 50, brokenSeconds: 3, fault: 'full', realDisk: false },
    run: (at, size) => run(at, size, withoutOpen),
  },
}

export const journalFailing: Scenario<Size> = {
  name: 'journal-failing',
  promise:
    'While the journal’s disk fails every write and sync no call is let in, running calls settle, and it recovers by itself',
  full: { connections: 24, callsBefore: 50, brokenSeconds: 20, fault: 'eio', realDisk: false },
  small: { connections: 6, pauseMs: 250, callsBefore: 20, brokenSeconds: 3, fault: 'eio', realDisk: false },
  run,
  mutant: {
    name: 'calls without an OPEN',
    size: { connections: 8, callsBefore: 50, brokenSeconds: 3, fault: 'eio', realDisk: false },
    run: (at, size) => run(at, size, withoutOpen),
  },
}
