import { type Bus, openBucket } from '@sluice/bus'
import { BudgetWindow, cutoffKey, isPlaceless, otherCopy } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'
import { toWindowDocument } from './window-document.ts'
import type { OpenWindow } from './window-store.ts'

type Copy = { budgetId: string; copy: string }

/** Copies that are written side by side: where windows of a minute end, a thousand of each budget end together. */
const mostAtOnce = 500

export interface WindowPublisher {
  /** Notes that these copies have changed; they are written within `intervalMs`, once for all changes since. One without a running window is taken out. */
  touch: (copies: readonly Copy[]) => void
  /** Writes what is noted, then stops. */
  close: () => Promise<void>
}

/**
 * Keeps KV `budget-windows` near to what is committed. Sums are shown to callers and never decided upon; gateways tell by it which
 * copies there are (`told-apart-store.ts`). Values are read again from the database when they are written, so the last write is the
 * newest. What is lost in a crash is repaired at the next start.
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
    const copies = [...touched]
    touched.clear()
    for (let at = 0; at < copies.length; at += mostAtOnce) await writeSome(copies.slice(at, at + mostAtOnce))
  }

  /** What cannot be written keeps nothing else waiting. */
  async function writeSome(copies: readonly [string, Copy][]): Promise<void> {
    try {
      const windows = await readByKey(copies)
      await Promise.all([...windows].map(([key, window]) => writer.put(key, window)))
      await takeOut(copies.filter(([key]) => !windows.has(key)))
    } catch (err) {
      options.log.warn({ err, copies: copies.length }, 'windows not published, will be tried again')
      for (const [key, copy] of copies) touched.set(key, copy)
      schedule(1_000)
    }
  }

  async function readByKey(copies: readonly [string, Copy][]): Promise<Map<string, BudgetWindow>> {
    const documents = (await read(copies.map(([, copy]) => copy))).map(toWindowDocument)
    return new Map(documents.map(window => [cutoffKey(window.budget_id, window.copy), window]))
  }

  /** Read again behind its revision, so that a window which another instance has begun and told of meanwhile stays. */
  async function takeOut(copies: readonly [string, Copy][]): Promise<void> {
    if (copies.length === 0) return
    const revisions = await Promise.all(copies.map(([key]) => writer.revisionOf(key)))
    const begun = await readByKey(copies)
    await Promise.all(
      copies.map(async ([key], at) => {
        const revision = revisions[at]
        if (revision !== undefined && !begun.has(key)) await writer.deleteAt(key, revision)
      }),
    )
    // With a place free, whoever is new may have a copy again: that of all others says so.
    for (const [, { budgetId, copy }] of copies)
      if (!isPlaceless(copy) && copy !== '') touched.set(cutoffKey(budgetId, otherCopy), { budgetId, copy: otherCopy })
    if (touched.size > 0) schedule(options.intervalMs ?? 100)
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
