/** Wakes those who wait for an answer to a request, where it was decided by this instance. */
export interface DecisionBell {
  ring: (requestId: string) => void
  /**
   * Takes a place among those who wait, of those that a project has: one of them leaves room for the others. Whoever gets one gives
   * it back. @returns who has none left
   */
  takePlace: (projectId: string) => { giveBack: () => void } | 'project' | 'all'
  /** Ends with the ring, the time or the signal. */
  wait: (requestId: string, timeMs: number, signal: AbortSignal) => Promise<void>
}

/** @param most that may wait at a time, and of one project */
export function createDecisionBell(most = { ofAll: 200, ofProject: 20 }): DecisionBell {
  const waiting = new Map<string, Set<() => void>>()
  const placesOf = new Map<string, number>()
  let places = 0
  return {
    ring: requestId => {
      for (const wake of waiting.get(requestId) ?? []) wake()
    },
    takePlace: projectId => {
      const own = placesOf.get(projectId) ?? 0
      if (own >= most.ofProject) return 'project'
      if (places >= most.ofAll) return 'all'
      placesOf.set(projectId, own + 1)
      places++
      return {
        giveBack: () => {
          const left = (placesOf.get(projectId) ?? 1) - 1
          if (left === 0) placesOf.delete(projectId)
          else placesOf.set(projectId, left)
          places--
        },
      }
    },
    wait: async (requestId, timeMs, signal) => {
      if (signal.aborted) return
      const ofRequest = waiting.get(requestId) ?? new Set()
      waiting.set(requestId, ofRequest)
      await new Promise<void>(resolve => {
        const wake = () => {
          clearTimeout(timer)
          signal.removeEventListener('abort', wake)
          ofRequest.delete(wake)
          resolve()
        }
        const timer = setTimeout(wake, timeMs)
        signal.addEventListener('abort', wake)
        ofRequest.add(wake)
      })
      if (ofRequest.size === 0 && waiting.get(requestId) === ofRequest) waiting.delete(requestId)
    },
  }
}
