import { JournalUnavailableError } from './journal-unavailable-error.ts'
import type { Wait } from './waiting-writes.ts'

/** Waits, but no longer than `timeoutMs`: then the wait is given up, and this rejects with JournalUnavailableError. */
export function withinDeadline(wait: () => Wait, timeoutMs: number): () => Promise<void> {
  return () =>
    new Promise((resolve, reject) => {
      const { done, giveUp } = wait()
      const timer = setTimeout(() => {
        giveUp()
        reject(new JournalUnavailableError({ detail: 'not secured in time' }))
      }, timeoutMs)
      void done.then(resolve).finally(() => clearTimeout(timer))
    })
}
