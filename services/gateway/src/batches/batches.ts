import type { BatchJobsView } from '../views/batch-jobs-view.ts'
import type { StoredFilesView } from '../views/stored-files-view.ts'
import type { BatchEvents } from './batch-events.ts'
import type { BatchPoller } from './batch-poller.ts'
import type { FileWriters } from './file-writers.ts'
import type { OwnRun } from './match-creation.ts'

/** What calls about batches need beside what every call needs. */
export interface Batches {
  jobs: BatchJobsView
  /** Files that batches are made of. */
  files: StoredFilesView
  /** Which batch has written a file. */
  writers: FileWriters
  poller: BatchPoller
  events: BatchEvents
  own: OwnRun
  /** Between two looks at a young batch. */
  minIntervalMs: number
}
