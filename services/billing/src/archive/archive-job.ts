import type { Logger } from '@sluice/runtime'
import { archiveFailed, daysArchived } from '../events.ts'
import { type ArchiverDeps, archiveClosedDays } from './archiver.ts'

/** Archives days that are over, at once and then each `everyMs`. A run that fails is logged and tried again: nothing was lost. */
export function startArchiveJob(
  deps: ArchiverDeps,
  options: { everyMs: number; log: Logger },
): { close: () => Promise<void> } {
  let running: Promise<void> | undefined
  const run = () => {
    running ??= archiveClosedDays(deps)
      .then(done => done && daysArchived(options.log, done))
      .catch(err => archiveFailed(options.log, err))
      .finally(() => {
        running = undefined
      })
  }
  run()
  const timer = setInterval(run, options.everyMs)
  return {
    close: async () => {
      clearInterval(timer)
      await running
    },
  }
}
