import { hash } from 'node:crypto'
import { type ChargedContainer, containerKey } from '@sluice/contracts'
import { minimumContainerMinutes, type UsageResult } from '@sluice/usage'

/** A container that is not used for so long is gone (developers.openai.com/api/docs/guides/tools-code-interpreter). */
const lifetimeMs = 20 * 60_000
const maxContainers = 20_000
/** Of one project: providers of its own may name as many as they like. */
const maxOfProject = 2_000
/** Of one reply: what it names on top is charged as new, and not known again. */
const maxOfReply = 64
const minuteMs = 60_000

type UsedContainer = NonNullable<UsageResult['containers']>[number]

/**
 * Containers that live, and what of each has been counted: a use counts the minutes since its start that no use before it
 * has, at least five at the first. The provider charges by the minute and tells no reply of it, so that the time of the last
 * use seen here stands for the container's end.
 */
export class RecentContainers {
  /** By project and key. The project, and of each the container, that has waited longest first. */
  readonly #projects = new Map<string, Map<string, ChargedContainer>>()
  #size = 0
  readonly #onCharged: (key: string, container: ChargedContainer) => void

  /** @param onCharged is told of what other gateways need to know */
  constructor(onCharged: (key: string, container: ChargedContainer) => void = () => undefined) {
    this.#onCharged = onCharged
  }

  /** What another gateway, or this one before it was started again, has counted. */
  note(key: string, container: ChargedContainer): void {
    const projectId = projectOf(key)
    const known = this.#projects.get(projectId)?.get(key)
    if (known && known.minutes >= container.minutes && known.used_at_ms >= container.used_at_ms) return
    this.#keep(projectId, key, container)
  }

  /** The same usage, with sessions and minutes of its containers as far as they have not been counted. */
  chargeOnce(projectId: string, usage: UsageResult, at: { startedAtMs: number; nowMs: number }): UsageResult {
    if (usage.containers === undefined) return usage
    let sessions = 0
    let gbMinutes = 0
    for (const [index, container] of usage.containers.entries()) {
      const counted =
        index < maxOfReply
          ? this.#count(projectId, container, at)
          : { isNew: true, gbMinutes: minutesOf(at) * container.gb }
      if (counted.isNew) sessions++
      gbMinutes += counted.gbMinutes
    }
    return withContainers(usage, sessions, gbMinutes)
  }

  #count(
    projectId: string,
    container: UsedContainer,
    { startedAtMs, nowMs }: { startedAtMs: number; nowMs: number },
  ): { isNew: boolean; gbMinutes: number } {
    const key = keyOf(projectId, container)
    const before = this.#projects.get(projectId)?.get(key)
    const living = before && nowMs - before.used_at_ms < lifetimeMs ? before : undefined
    const start = living?.started_at_ms ?? Math.min(startedAtMs, nowMs)
    const minutes = Math.max(minutesOf({ startedAtMs: start, nowMs }), living?.minutes ?? 0)
    // A reply that names a container by its id alone does not tell its memory.
    const memory = Math.max(container.gb, living?.gb ?? 0)
    const charged = { started_at_ms: start, used_at_ms: nowMs, gb: memory, minutes }
    this.#keep(projectId, key, charged)
    this.#onCharged(key, charged)
    return { isNew: !living, gbMinutes: (minutes - (living?.minutes ?? 0)) * memory }
  }

  #keep(projectId: string, key: string, container: ChargedContainer): void {
    const own = this.#projects.get(projectId) ?? new Map<string, ChargedContainer>()
    this.#projects.delete(projectId)
    this.#projects.set(projectId, own)
    if (!own.delete(key)) this.#size++
    own.set(key, container)
    if (own.size > maxOfProject) this.#dropOldestOf(projectId, own)
    for (const [waiting, containers] of this.#projects) {
      if (this.#size <= maxContainers) break
      this.#dropOldestOf(waiting, containers)
    }
  }

  #dropOldestOf(projectId: string, containers: Map<string, ChargedContainer>): void {
    for (const oldest of containers.keys()) {
      containers.delete(oldest)
      this.#size--
      break
    }
    if (containers.size === 0) this.#projects.delete(projectId)
  }
}

/** That a container which is used now is paid for. */
function minutesOf({ startedAtMs, nowMs }: { startedAtMs: number; nowMs: number }): number {
  return Math.max(minimumContainerMinutes, Math.ceil((nowMs - startedAtMs) / minuteMs))
}

function projectOf(key: string): string {
  return key.slice(0, key.lastIndexOf('.'))
}

/** Ids are the provider's: hashed, they fit a key whatever is in them. */
function keyOf(projectId: string, { id }: UsedContainer): string {
  return containerKey(projectId, hash('sha256', id, 'hex').slice(0, 40))
}

function withContainers(usage: UsageResult, sessions: number, gbMinutes: number): UsageResult {
  const { code_container_sessions: _, code_container_gb_minutes: __, ...quantities } = usage.quantities
  const { code_container_sessions: mark = 'measured', code_container_gb_minutes: ___, ...provenance } = usage.provenance
  return {
    ...usage,
    quantities: {
      ...quantities,
      ...(sessions > 0 && { code_container_sessions: sessions }),
      ...(gbMinutes > 0 && { code_container_gb_minutes: gbMinutes }),
    },
    provenance: {
      ...provenance,
      ...(sessions > 0 && { code_container_sessions: mark }),
      ...(gbMinutes > 0 && { code_container_gb_minutes: 'estimated' as const }),
    },
  }
}
