/** Wakes those who wait for an answer to a request, where it was decided by this instance. */
export interface DecisionBell {
  ring: (requestId: string) => void
  /** Ends with the ring, the time or the signal. @returns false where too many wait already */
  wait: (requestId: string, timeMs: number, signal: AbortSignal) => Promise<boolean>
}

/** @param most that may wait at a time */
export function createDecisionBell(most = 200): DecisionBell {
  const waiting = new Map<string, Set<() => void>>()
  let count = 0
  return {
    ring: requestId => {
      for (const wake of waiting.get(requestId) ?? []) wake()
    },
    wait: async (requestId, timeMs, signal) => {
      if (count >= most || signal.aborted) return false
      count++
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
      count--
      if (ofRequest.size === 0 && waiting.get(requestId) === ofRequest) waiting.delete(requestId)
      return true
    },
  }
}
