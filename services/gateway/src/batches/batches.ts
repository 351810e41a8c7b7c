import type { BodyMemory } from '../read-request.ts'
import type { BatchJobsView } from '../views/batch-jobs-view.ts'
import type { BatchEvents } from './batch-events.ts'
import type { BatchPoller } from './batch-poller.ts'
import type { OwnRun } from './match-creation.ts'

/** What calls about batches need beside what every call needs. */
export interface Batches {
  jobs: BatchJobsView
  poller: BatchPoller
  events: BatchEvents
  own: OwnRun
  /** Between two looks at a young batch. */
  minIntervalMs: number
  /** Where bodies are kept that are too large for memory. */
  spoolDirectory: string
  spoolSpace: BodyMemory
}
