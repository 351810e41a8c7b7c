import { type Bus, subscribe } from '@sluice/bus'
import { GatewayHeartbeat } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'
import { judgeCompleteness, type SilentEpoch } from '../completeness.ts'
import { epochsWatched } from '../events.ts'
import { epochKey, type HeardEpoch, type Heartbeat, heartbeatOf } from '../heard-epoch.ts'
import type { HeardEpochStore } from '../heard-epoch-store.ts'
import type { UsageStore } from '../usage-store.ts'

export interface EpochWatchOptions {
  store: HeardEpochStore
  /** For how long nothing may be heard of a gateway that runs. */
  silentMs: number
  usage: Pick<UsageStore, 'listCompleteness'>
  log: Logger
  nowMs?: () => number
}

/** What is heard of gateways' epochs. */
export interface EpochWatch {
  /** Every epoch that is not known to be closed, with the latest that was heard of it. */
  list: () => Promise<HeardEpoch[]>
  close: () => Promise<void>
}

/** Beats that wait to be written. Beyond them the gateways are not ours. */
const mostWaiting = 10_000

/**
 * Follows the heartbeats of gateways and writes the latest of each every few seconds, so that it outlives this process. An
 * epoch that is not closed, and of which nothing is heard for too long, becomes silent; heard of again, or closed, it is so no
 * more. Silence counts only while we listen: after a start, a reconnect or a standstill of our own it begins anew, and what
 * was silent before stays so.
 */
export function watchEpochs(bus: Bus, options: EpochWatchOptions): EpochWatch {
  const { store, silentMs, log, nowMs = Date.now } = options
  const everyMs = Math.min(5_000, Math.ceil(silentMs / 4))
  const waiting = new Map<string, Heartbeat>()
  let listeningSinceMs = nowMs()
  let lookedAtMs = nowMs()

  const subscription = subscribe(
    bus,
    GatewayHeartbeat,
    GatewayHeartbeat.subject(),
    data => {
      const beat = heartbeatOf(data, nowMs())
      const key = epochKey(beat)
      if (waiting.size < mostWaiting || waiting.has(key)) waiting.set(key, beat)
    },
    log,
  )

  async function save(): Promise<void> {
    const beats = [...waiting]
    await store.save(beats.map(([, beat]) => beat))
    for (const [key, beat] of beats) if (waiting.get(key) === beat) waiting.delete(key)
  }

  async function look(): Promise<void> {
    const atMs = nowMs()
    if (!bus.isConnected() || atMs - lookedAtMs > silentMs / 2) listeningSinceMs = atMs
    lookedAtMs = atMs
    await save()
    const silentBeforeMs = atMs - silentMs
    await store.look({
      nowMs: atMs,
      silentBeforeMs: listeningSinceMs < silentBeforeMs ? silentBeforeMs : undefined,
    })
    await show(await store.list(), atMs)
  }

  let silentBefore: readonly SilentEpoch[] = []
  async function show(heard: readonly HeardEpoch[], atMs: number): Promise<void> {
    const series = heard.some(one => one.silentAtMs !== undefined) ? await options.usage.listCompleteness() : []
    const { silent } = judgeCompleteness({ series, heard, deadLetters: 0, nowMs: atMs, silentMs })
    epochsWatched(log, silent, silentBefore, atMs)
    silentBefore = silent
  }

  let looking: Promise<void> | undefined
  const next = (): void => {
    looking ??= look()
      .catch(err => log.warn({ err }, 'epochs not looked at, will be tried again'))
      .finally(() => {
        looking = undefined
      })
  }
  next()
  const timer = setInterval(next, everyMs)

  return {
    async list() {
      const written = new Map((await store.list()).map(one => [epochKey(one), one]))
      for (const [key, beat] of waiting) {
        const known = written.get(key)
        if (!known || known.heardAtMs <= beat.heardAtMs)
          written.set(key, { ...beat, silentAtMs: undefined, givenUp: undefined })
      }
      return [...written.values()]
    },
    async close() {
      clearInterval(timer)
      await looking
      await subscription.close()
      await save().catch(err => log.warn({ err }, 'last heartbeats not written'))
    },
  }
}
