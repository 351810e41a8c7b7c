import type { UsageResult } from '@sluice/usage'

/** A container that is not used for so long is gone (developers.openai.com/api/docs/guides/tools-code-interpreter). */
const lifetimeMs = 20 * 60_000
const maxContainers = 20_000

/**
 * Containers that this gateway has charged and that still live: code that runs in one of them again starts no session of its
 * own. What another gateway has charged is not known here and counts again.
 */
export class RecentContainers {
  /** When each was used last, the one that has waited longest first. */
  readonly #usedAtMs = new Map<string, number>()

  /** The same usage, with sessions of those containers alone that are charged now. Counted once for each reply. */
  chargeOnce(projectId: string, usage: UsageResult, nowMs: number): UsageResult {
    const sessions = usage.quantities.code_container_sessions
    if (usage.container_ids === undefined || sessions === undefined) return usage
    let known = 0
    for (const id of usage.container_ids) {
      const key = `${projectId} ${id}`
      const usedAtMs = this.#usedAtMs.get(key)
      if (usedAtMs !== undefined && nowMs - usedAtMs < lifetimeMs) known++
      this.#usedAtMs.delete(key)
      this.#usedAtMs.set(key, nowMs)
    }
    for (const oldest of this.#usedAtMs.keys()) {
      if (this.#usedAtMs.size <= maxContainers) break
      this.#usedAtMs.delete(oldest)
    }
    return known === 0 ? usage : withSessions(usage, Math.max(0, sessions - known))
  }
}

function withSessions(usage: UsageResult, sessions: number): UsageResult {
  const { code_container_sessions: _, ...quantities } = usage.quantities
  const { code_container_sessions: mark, ...provenance } = usage.provenance
  if (sessions === 0) return { ...usage, quantities, provenance }
  return {
    ...usage,
    quantities: { ...quantities, code_container_sessions: sessions },
    provenance: { ...provenance, ...(mark && { code_container_sessions: mark }) },
  }
}
