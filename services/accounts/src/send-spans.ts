import { type PostOutcome, postPublic } from '@sluice/runtime'
import type { FinishedSpan } from '@sluice/telemetry/encode-spans'

/** A collector, with the headers that it wants. */
export interface Collector {
  endpoint: string
  headers: Readonly<Record<string, string>>
}

/** What became of a request to a collector. */
export interface SendOutcome {
  ok: boolean
  message: string
  httpStatus?: number
}

/** Sends spans to a collector, once. Never throws. */
export type SendSpans = (collector: Collector, spans: readonly FinishedSpan[]) => Promise<SendOutcome>

const timeoutMs = 5_000

/**
 * OTLP over HTTP, with `postPublic`'s guards. Nothing of this process goes along: its own exporter's settings are not these.
 */
export function createSendSpans({ allowPrivate }: { allowPrivate: boolean }): SendSpans {
  return async ({ endpoint: url, headers }, spans) => {
    // Loaded by whoever sends: most installations never do.
    const { encodeSpans } = await import('@sluice/telemetry/encode-spans')
    const body = encodeSpans('sluice', spans)
    const sent = { ...headers, 'content-type': 'application/x-protobuf' }
    return toOutcome(await postPublic({ url, headers: sent, body, timeoutMs, allowPrivate }))
  }
}

function toOutcome(outcome: PostOutcome): SendOutcome {
  if ('httpStatus' in outcome) {
    const { httpStatus } = outcome
    const ok = httpStatus >= 200 && httpStatus < 300
    return { ok, httpStatus, message: ok ? 'The collector took it.' : `The collector answered ${httpStatus}.` }
  }
  switch (outcome.failure) {
    case 'private':
      return { ok: false, message: 'The endpoint leads to an address that is not public.' }
    case 'timeout':
      return { ok: false, message: `The collector did not answer within ${timeoutMs / 1_000} s.` }
    case 'unreachable': {
      const { code } = outcome
      return { ok: false, message: `The collector could not be reached${code === undefined ? '' : ` (${code})`}.` }
    }
    default:
      return outcome satisfies never
  }
}
