import { type Bus, followBucket } from '@sluice/bus'
import { Mark, type Series, seriesKey } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'

/**
 * How far billing has posted each series. An old view is harmless: segments stay a little longer, and what is published
 * again is known to its consumers.
 */
export interface MarksView {
  find: (series: Series) => Mark | undefined
  close: () => Promise<void>
}

export async function followMarks(bus: Bus, log: Logger): Promise<MarksView> {
  const view = await followBucket(bus, 'marks', Mark, { log })
  return { find: series => view.get(seriesKey(series)), close: view.close }
}
