import type { Bus } from '@sluice/bus'
import { ContractError, partitionOf, UsageRecorded } from '@sluice/contracts'
import { type Logger, type SecretBox, withinScope } from '@sluice/runtime'
import type { Db } from '../db/schema.ts'
import { spansDropped, spansSent } from '../events.ts'
import { type OtelSettings, openHeaders } from '../otel-settings.ts'
import { listOtelSettings } from '../otel-settings-store.ts'
import type { SendSpans } from '../send-spans.ts'
import { isWanted } from '../span-filter.ts'
import { createSpanQueue, type SpanQueue } from '../span-queue.ts'
import { isSampled, toUsageSpan } from '../usage-span.ts'

export interface UsageSpansDeps {
  bus: Bus
  db: Db
  box: SecretBox
  send: SendSpans
  log: Logger
  refreshMs?: number
}

interface Follower {
  settings: OtelSettings
  queue: SpanQueue
}

/** Of more projects no spans are sent. */
const mostProjects = 1_000

/**
 * Sends spans of calls to the collectors of projects that have one. Listens to usage as gateways tell it, of several instances
 * one to each message, and only while a project has a collector: what is told while nobody listens, or a collector does not
 * answer, is never sent. Nothing waits for it, and the record of usage is elsewhere.
 */
export function sendUsageSpans(deps: UsageSpansDeps): { close: () => Promise<void> } {
  const followers = new Map<string, Follower>()
  let subscriptions: { unsubscribe: () => void }[] = []
  let listensTo = ''
  let refreshing: Promise<void> | undefined

  async function refresh(): Promise<void> {
    const current = await withinScope({ system: true }, () => listOtelSettings(deps.db, mostProjects))
    for (const [projectId, follower] of followers) {
      if (current.get(projectId)?.updatedAt.getTime() === follower.settings.updatedAt.getTime()) continue
      followers.delete(projectId)
      void follower.queue.close()
    }
    for (const [projectId, settings] of current)
      if (!followers.has(projectId)) followers.set(projectId, { settings, queue: queueOf(projectId, settings) })
    listen()
  }

  function queueOf(projectId: string, settings: OtelSettings): SpanQueue {
    const collector = { endpoint: settings.endpoint, headers: openHeaders(deps.box, projectId, settings) }
    return createSpanQueue({
      collector,
      send: deps.send,
      onSent: (outcome, spans) => spansSent(deps.log, projectId, outcome, spans),
      onDropped: spansDropped,
    })
  }

  /** Subscribes to the partitions that these projects are in, and to no other. */
  function listen(): void {
    const partitions = [...new Set([...followers.keys()].map(id => partitionOf(id)))].sort()
    if (partitions.join() === listensTo) return
    listensTo = partitions.join()
    for (const subscription of subscriptions) subscription.unsubscribe()
    subscriptions = partitions.map(partition =>
      deps.bus.connection.subscribe(UsageRecorded.subject(partition), {
        queue: 'accounts-spans',
        callback: (error, message) => {
          if (error) return deps.log.warn({ err: error }, 'subscription error')
          read(partition, Buffer.from(message.data))
        },
      }),
    )
  }

  function read(partition: number, body: Buffer): void {
    // Most messages are of projects that have no collector: they are not parsed.
    const meant = [...followers].filter(([id]) => partitionOf(id) === partition && body.includes(id))
    if (meant.length === 0) return
    for (const line of body.toString().split('\n')) {
      const found = meant.find(([projectId]) => line.includes(projectId))
      if (found) readLine(line, ...found)
    }
  }

  function readLine(line: string, projectId: string, { settings, queue }: Follower): void {
    try {
      const event = UsageRecorded.decode(line)
      if (event.identity.project_id !== projectId || !isSampled(event.call_id, settings.sampleRatio)) return
      if (isWanted(settings.filter, event)) queue.add(toUsageSpan(event))
    } catch (err) {
      if (!(err instanceof ContractError)) throw err
      deps.log.warn({ err }, 'event without a span')
    }
  }

  const tick = () => {
    refreshing ??= refresh()
      .catch(err => deps.log.warn({ err }, 'settings of collectors not read, will be tried again'))
      .finally(() => {
        refreshing = undefined
      })
  }
  const timer = setInterval(tick, deps.refreshMs ?? 5_000)
  tick()
  return {
    close: async () => {
      clearInterval(timer)
      await refreshing
      for (const subscription of subscriptions) subscription.unsubscribe()
      await Promise.all([...followers.values()].map(({ queue }) => queue.close()))
    },
  }
}
