import { AppError } from '@sluice/runtime'

/** No new call can be metered: the journal's disk is full or broken. It recovers alone. */
export class JournalUnavailableError extends AppError {
  override name = 'JournalUnavailableError'
  constructor(options: { cause?: unknown; detail?: unknown } = {}) {
    super(
      'metering_unavailable',
      503,
      'This gateway cannot record usage at the moment, so it takes no new calls. Try again in a few seconds.',
      options,
    )
  }
}
