import { type Bus, openBucket } from '@sluice/bus'
import { BudgetWindow, cutoffKey } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'
import { toWindowDocument } from './window-document.ts'
import type { OpenWindow } from './window-store.ts'

type Copy = { budgetId: string; copy: string }

export interface WindowPublisher {
  /** Notes that these copies have changed; they are written within `intervalMs`, once for all changes since. */
  touch: (copies: readonly Copy[]) => void
  /** Writes what is noted, then stops. */
  close: () => Promise<void>
}

/**
 * Keeps KV `budget-windows` near to what is committed: shown to callers, never decided upon. Values are read again from the
 * database when they are written, so the last write is the newest. What is lost in a crash is repaired at the next start.
 */
export async function startWindowPublisher(
  bus: Bus,
  read: (copies: readonly Copy[]) => Promise<OpenWindow[]>,
  options: { log: Logger; intervalMs?: number },
): Promise<WindowPublisher> {
  const writer = await openBucket(bus, 'budget-windows', BudgetWindow)
  const touched = new Map<string, Copy>()
  let timer: NodeJS.Timeout | undefined
  let writing: Promise<void> = Promise.resolve()
  let closed = false

  async function write(): Promise<void> {
    const copies = [...touched.values()]
    touched.clear()
    if (copies.length === 0) return
    try {
      const windows = await read(copies)
      await Promise.all(
        windows.map(toWindowDocument).map(window => writer.put(cutoffKey(window.budget_id, window.copy), window)),
      )
    } catch (err) {
      options.log.warn({ err, copies: copies.length }, 'windows not published, will be tried again')
      for (const copy of copies) touched.set(cutoffKey(copy.budgetId, copy.copy), copy)
      schedule(1_000)
    }
  }

  function schedule(delayMs: number): void {
    if (closed) return
    timer ??= setTimeout(() => {
      timer = undefined
      writing = writing.then(write)
    }, delayMs)
  }

  return {
    touch(copies) {
      for (const copy of copies) touched.set(cutoffKey(copy.budgetId, copy.copy), copy)
      if (touched.size > 0) schedule(options.intervalMs ?? 100)
    },
    async close() {
      closed = true
      clearTimeout(timer)
      writing = writing.then(write)
      await writing
    },
  }
}
