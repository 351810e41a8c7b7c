import { Refusal } from './refusal.ts'

/** The no for a request that was checked on its way in for a credential which is not the one it would go out under now. */
export function integrationChanged(): Refusal {
  return new Refusal(
    'view_stale',
    "The project's integration has changed while this request was received. Nothing was sent. Send it again.",
    { retryAfterS: 1 },
  )
}

/** The no for a turn on a socket whose project has gone over to another access, address or credential. */
export function formerUpstream(): Refusal {
  return new Refusal(
    'view_stale',
    "The project's integration has changed since this socket was opened. Connect again.",
    { retryAfterS: 1 },
  )
}
