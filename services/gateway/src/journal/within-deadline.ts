import { JournalUnavailableError } from './journal-unavailable-error.ts'

/** The same wait, but no longer than `timeoutMs`: then it rejects with JournalUnavailableError. */
export function withinDeadline(wait: () => Promise<void>, timeoutMs: number): () => Promise<void> {
  return () =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new JournalUnavailableError({ detail: 'not secured in time' })), timeoutMs)
      wait()
        .then(resolve, cause => reject(new JournalUnavailableError({ cause })))
        .finally(() => clearTimeout(timer))
    })
}
