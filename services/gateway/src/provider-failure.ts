import type { RefusalReason } from './refusal.ts'
import { isCertificateError } from './upstream/certificate-error.ts'

/** A provider's failure, for the caller and for the event. */
export interface ProviderFailure {
  reason: RefusalReason
  message: string
  /** `error_code` of the event. */
  code: string
}

/** Our own codes, and those of the library that sends bodies which are not in memory. */
const timeouts = new Set(['HEADERS_TIMEOUT', 'IDLE_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT'])

/** What became of a request whose provider gave no whole answer. */
export function describeFailure(error: Error, servedBy: string): ProviderFailure {
  const code = (error as NodeJS.ErrnoException).code ?? error.name
  if (timeouts.has(code)) {
    return {
      reason: 'provider_timeout',
      message: `${servedBy} did not answer in time. Try again.`,
      code: 'provider_timeout',
    }
  }
  if (code === 'HANDLER_FAILED') return { reason: 'internal', message: 'internal', code: 'internal' }
  if (code === 'metering_unavailable') {
    return {
      reason: 'metering_unavailable',
      message: 'This gateway cannot record usage right now, so the call was not sent. Try again in a moment.',
      code,
    }
  }
  if (code === 'EPRIVATEADDRESS') {
    return {
      reason: 'provider_unreachable',
      message: `The address of ${servedBy} is not a public one, which this installation does not allow.`,
      code: 'private_address',
    }
  }
  if (isCertificateError(code)) {
    return {
      reason: 'provider_unreachable',
      message: `The certificate of ${servedBy} does not hold (${code}), so nothing was sent to it. An operator can add its authority by GATEWAY_UPSTREAM_CA_FILE.`,
      code: 'provider_certificate',
    }
  }
  return {
    reason: 'provider_unreachable',
    message: `${servedBy} could not be reached or broke off (${code}). Try again.`,
    code: 'provider_unreachable',
  }
}

/** Errors of making a connection: no byte of a request has left. */
const neverSent: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EPRIVATEADDRESS',
  'UND_ERR_CONNECT_TIMEOUT',
])

/** Something of the request may have reached its provider. */
export function mayHaveArrived(error: Error): boolean {
  const { code = '' } = error as NodeJS.ErrnoException
  return !neverSent.has(code) && !isCertificateError(code)
}
