import { AppError } from '@sluice/runtime'

/** No new call can be metered: the journal's disk is full or broken. It recovers alone. */
export class JournalUnavailableError extends AppError {
  override name = 'JournalUnavailableError'
  /** The OPEN stands in the journal and is not secured: the attempt is to be closed. */
  attemptIsOpen = false
  constructor(options: { cause?: unknown; detail?: unknown } = {}) {
    super(
      'metering_unavailable',
      503,
      'This gateway cannot record usage at the moment, so it takes no new calls. Try again in a few seconds.',
      options,
    )
  }
}
