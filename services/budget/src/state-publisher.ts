import { type Bus, followBucket, openBucket } from '@sluice/bus'
import { type BucketName, Budget, BudgetWindow, Cutoff, type DocumentContract, Stop } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'
import type { Static, TSchema } from 'typebox'

/** What the buckets of this service must hold, by key. */
export interface PublishedState {
  budgets: ReadonlyMap<string, Budget>
  cutoffs: ReadonlyMap<string, Cutoff>
  windows: ReadonlyMap<string, BudgetWindow>
  stops: ReadonlyMap<string, Stop>
}

/**
 * Makes the buckets equal to the database, at start: they may be new, restored, or behind by what a crash kept from being
 * sent. Run it before anything else writes.
 */
export async function repairBuckets(bus: Bus, state: PublishedState, log: Logger): Promise<void> {
  await repairBucket(bus, 'budgets', Budget, state.budgets, log)
  await repairBucket(bus, 'cutoffs', Cutoff, state.cutoffs, log)
  await repairBucket(bus, 'budget-windows', BudgetWindow, state.windows, log)
  await repairBucket(bus, 'stops', Stop, state.stops, log)
}

/** So many are forgotten at a time, for nobody to wait for it long. */
const most = 10_000

/** Removes what copies that have gone leave behind in the buckets: of what callers choose there is no end of them. @returns whether there is more */
export async function forgetDeletions(bus: Bus, nowMs: number): Promise<boolean> {
  const windows = await openBucket(bus, 'budget-windows', BudgetWindow)
  const cutoffs = await openBucket(bus, 'cutoffs', Cutoff)
  const forgotten = [await windows.forgetDeletions(nowMs, most), await cutoffs.forgetDeletions(nowMs, most)]
  return forgotten.some(count => count >= most)
}

async function repairBucket<Schema extends TSchema>(
  bus: Bus,
  bucket: BucketName,
  document: DocumentContract<Schema>,
  wanted: ReadonlyMap<string, Static<Schema>>,
  log: Logger,
): Promise<void> {
  const view = await followBucket(bus, bucket, document, { log })
  const writer = await openBucket(bus, bucket, document)
  const present = new Map(view.entries())
  await view.close()
  let repaired = 0
  for (const [key, value] of wanted) {
    const held = present.get(key)
    if (held !== undefined && sameJson(held, value)) continue
    await writer.put(key, value)
    repaired++
  }
  for (const key of present.keys()) {
    if (wanted.has(key)) continue
    await writer.delete(key)
    repaired++
  }
  if (repaired > 0) log.info({ bucket, repaired }, 'bucket repaired from the database')
}

/** Equal whatever the order of names: PostgreSQL's jsonb has an order of its own. */
function sameJson(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b
  const entries = Object.entries(a)
  return (
    entries.length === Object.keys(b).length &&
    entries.every(([name, value]) => sameJson(value, (b as Record<string, unknown>)[name]))
  )
}
