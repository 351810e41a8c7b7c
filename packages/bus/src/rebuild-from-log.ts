import { setTimeout as delay } from 'node:timers/promises'
import {
  GatewayEpochClosed,
  type GatewayEpochClosedData,
  UsageAdjusted,
  type UsageAdjustedData,
} from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'
import type { Bus } from './connect.ts'
import { batchesOf, readUsageLog, type UsageLogPage } from './read-usage-log.ts'

type Phase = 'usage' | 'adjustments' | 'closed-epochs' | 'finishing' | 'done'

interface Progress {
  rebuild_id: string
  phase: Phase
  after: string
  head: number
  batches: number
  events: number
  adjustments: number
  problem: string | null
}

/** Where progress is kept; `rebuildStore` of the database package is one. */
export interface RebuildMemory {
  read: () => Promise<Progress | undefined>
  save: (progress: Progress) => Promise<void>
  alone: (work: () => Promise<void>) => Promise<boolean>
}

/** What a service does with the log. Each must be harmless when it comes again: a page is read again after a crash. */
export interface RebuildTarget {
  applyBatches: (batches: ReturnType<typeof batchesOf>, rebuildId: string) => Promise<void>
  applyAdjustments: (adjusted: UsageAdjustedData[], rebuildId: string) => Promise<void>
  /** Ends of epochs, after everything of them. */
  closeEpochs: (closed: GatewayEpochClosedData[]) => Promise<void>
  /** What follows from all of it, such as sums. */
  finish: (signal: AbortSignal) => Promise<void>
}

const next: Record<Phase, Phase> = {
  usage: 'adjustments',
  adjustments: 'closed-epochs',
  'closed-epochs': 'finishing',
  finishing: 'done',
  done: 'done',
}

/** Whoever works on rebuilds. */
export interface Rebuilds {
  /** Looks now whether one is under way: call it where one was begun. */
  look: () => void
  close: () => Promise<void>
}

/**
 * Works on a rebuild whenever one is under way, beside everything else: from the log page by page, each remembered once it is
 * applied. Of several instances one works; when it ends, another goes on within `pollMs`. What fails is tried again for ever.
 */
export function startRebuilds(
  bus: Bus,
  memory: RebuildMemory,
  target: RebuildTarget,
  options: { log: Logger; pollMs?: number },
): Rebuilds {
  const { log, pollMs = 5_000 } = options
  const stopping = new AbortController()
  const { signal } = stopping
  let woken = new AbortController()

  /** A word that comes while one is looked for is heard when it is waited for the next time. */
  async function pause(): Promise<void> {
    await delay(pollMs, undefined, { signal: AbortSignal.any([signal, woken.signal]) }).catch(() => undefined)
    woken = new AbortController()
  }

  const running = (async () => {
    let underWay = false
    while (!signal.aborted) {
      try {
        const progress = await memory.read()
        underWay = progress !== undefined && progress.phase !== 'done'
        if (progress && underWay) await memory.alone(() => work(progress.rebuild_id))
      } catch (err) {
        // A database that is away while nothing is rebuilt is no news of ours.
        if (underWay && !signal.aborted) log.warn({ err }, 'rebuild interrupted, will go on')
      }
      await pause()
    }
  })()

  async function work(rebuildId: string): Promise<void> {
    // Read again: another instance may have gone on meanwhile.
    let progress = await memory.read()
    if (progress?.rebuild_id !== rebuildId) return
    log.info({ rebuildId, phase: progress.phase, after: progress.after }, 'rebuilding from the usage log')
    try {
      while (progress.phase !== 'done' && !signal.aborted) {
        progress = await runPhase(progress)
      }
    } catch (err) {
      if (signal.aborted) return
      const problem = err instanceof Error ? err.message : String(err)
      const known = await memory.read()
      if (known?.rebuild_id === rebuildId) await memory.save({ ...known, problem: problem.slice(0, 500) })
      throw err
    }
    if (progress.phase === 'done') {
      const { batches, events, adjustments } = progress
      log.info({ rebuildId, batches, events, adjustments }, 'rebuilt from the usage log')
    }
  }

  async function runPhase(begun: Progress): Promise<Progress> {
    let progress: Progress = { ...begun, problem: null }
    const { phase } = progress
    if (phase === 'finishing') await target.finish(signal)
    else if (phase !== 'done')
      for await (const page of readUsageLog(bus, { kind: phase, after: progress.after }, signal)) {
        progress = await applyPage(progress, page)
        if (page.next !== undefined) {
          progress = { ...progress, after: page.next, head: page.head }
          await memory.save(progress)
        }
        signal.throwIfAborted()
      }
    signal.throwIfAborted()
    progress = { ...progress, phase: next[phase], after: '' }
    await memory.save(progress)
    return progress
  }

  async function applyPage(progress: Progress, page: UsageLogPage): Promise<Progress> {
    switch (progress.phase) {
      case 'usage': {
        const batches = batchesOf(page)
        await target.applyBatches(batches, progress.rebuild_id)
        const events = batches.reduce((sum, { lines }) => sum + lines.length, 0)
        return { ...progress, batches: progress.batches + batches.length, events: progress.events + events }
      }
      case 'adjustments': {
        const adjusted = page.lines.map(line => UsageAdjusted.decode(line))
        await target.applyAdjustments(adjusted, progress.rebuild_id)
        return { ...progress, adjustments: progress.adjustments + adjusted.length }
      }
      case 'closed-epochs':
        await target.closeEpochs(page.lines.map(line => GatewayEpochClosed.decode(line)))
        return progress
      default:
        return progress
    }
  }

  return {
    look: () => woken.abort(),
    close: async () => {
      stopping.abort()
      await running
    },
  }
}

/** Has a rebuild that is begun in this process worked on at once; other instances look every few seconds. */
export function beginAtOnce<Memory extends { begin: () => Promise<object> }>(
  memory: Memory,
  rebuilds: Pick<Rebuilds, 'look'>,
): Memory {
  const begin = async () => {
    const begun = await memory.begin()
    rebuilds.look()
    return begun
  }
  return { ...memory, begin }
}
