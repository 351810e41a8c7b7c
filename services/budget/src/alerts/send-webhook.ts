import { type PostOutcome, postPublic, type SecretBox } from '@sluice/runtime'
import { toCloudEvent } from './alert-event.ts'
import type { AttemptOutcome, ClaimedDelivery } from './delivery-store.ts'
import { openSecret, secretsAt } from './destination.ts'
import { signWebhook } from './sign-webhook.ts'

const timeoutMs = 10_000
/** The receiver says that it listens no more. */
const gone = 410

/** Sends an alert to a webhook, once: a CloudEvent, signed as Standard Webhooks says. Of the answer nothing but the status is kept. */
export function webhookSender({ box, allowPrivate }: { box: SecretBox | undefined; allowPrivate: boolean }) {
  return async ({ alert, destination }: ClaimedDelivery, nowMs: number): Promise<AttemptOutcome> => {
    const { target } = destination
    if (target.kind !== 'webhook') throw new Error(`destination ${destination.destinationId} is no webhook`)
    if (!box) return { ok: false, error: 'The budget service has no BUDGET_SECRET_KEY to sign with.' }
    const secrets = secretsAt(target.secrets, nowMs).map(secret => openSecret(box, destination, secret))
    const body = toCloudEvent(alert)
    const outcome = await postPublic({
      url: target.url,
      headers: {
        'content-type': 'application/cloudevents+json',
        'user-agent': 'sluice-budget',
        ...signWebhook({ id: alert.alertId, body, atMs: nowMs }, secrets),
      },
      body,
      timeoutMs,
      allowPrivate,
    })
    return toOutcome(outcome)
  }
}

function toOutcome(outcome: PostOutcome): AttemptOutcome {
  if ('httpStatus' in outcome) {
    const { httpStatus } = outcome
    if (httpStatus >= 200 && httpStatus < 300) return { ok: true, httpStatus }
    if (httpStatus >= 300 && httpStatus < 400)
      return { ok: false, httpStatus, error: `The receiver answered ${httpStatus}: redirects are not followed.` }
    return {
      ok: false,
      httpStatus,
      error: `The receiver answered ${httpStatus}.`,
      ...(httpStatus === gone && { isFinal: true }),
    }
  }
  switch (outcome.failure) {
    case 'private':
      return { ok: false, error: 'The address leads to one that is not public.' }
    case 'timeout':
      return { ok: false, error: `The receiver did not answer within ${timeoutMs / 1_000} s.` }
    case 'unreachable':
      return {
        ok: false,
        error: `The receiver could not be reached${outcome.code === undefined ? '' : ` (${outcome.code})`}.`,
      }
    default:
      return outcome satisfies never
  }
}
