import type { Envelope } from '@sluice/contracts'
import { errorOf, type SecretBox } from '@sluice/runtime'
import { errors } from './errors.ts'
import type { SpanFilter } from './span-filter.ts'

/** Where a project has the spans of its calls sent, as it is stored. */
export interface OtelSettings {
  /** Whole: its path ends in `/v1/traces`. */
  endpoint: string
  headersEnvelope: Envelope | null
  headerNames: readonly string[]
  /** Of its calls, 0 to 1. */
  sampleRatio: number
  /** Null: of all of them. */
  filter: SpanFilter | null
  updatedAt: Date
}

/** What a request asks for: values of headers that are sent as they are shown stay. */
export interface OtelRequest {
  endpoint: string
  headers: Readonly<Record<string, string>>
  sampleRatio: number
  filter: SpanFilter | null
}

/** How a value is shown of which nothing is told. */
export const maskedValue = '****'

const bindingOf = (projectId: string) => ({ purpose: 'otel-headers', projectId, rowId: projectId }) as const

/**
 * The settings after a request. Values that are kept never follow to another host. @throws AppError 400
 */
export function applyOtel(
  box: SecretBox,
  projectId: string,
  stored: OtelSettings | undefined,
  { endpoint, headers, sampleRatio, filter }: OtelRequest,
  at: Date,
): OtelSettings {
  const names = Object.keys(headers).sort()
  const isKept = names.some(name => headers[name] === maskedValue)
  if (isKept && stored && new URL(stored.endpoint).origin !== new URL(endpoint).origin)
    throw errorOf(errors.invalidRequest, {
      message:
        'A change of endpoint to another host needs the values of headers again: they are only sent where they were meant for.',
    })
  const known = stored ? openHeaders(box, projectId, stored) : {}
  const values = names.map(name => {
    const value = headers[name] === maskedValue ? known[name] : headers[name]
    if (value === undefined)
      throw errorOf(errors.invalidRequest, { message: `Header "${name}" has no value to keep. Send one.` })
    return [name, value]
  })
  const headersEnvelope =
    names.length === 0 ? null : box.seal(JSON.stringify(Object.fromEntries(values)), bindingOf(projectId))
  return { endpoint, headersEnvelope, headerNames: names, sampleRatio, filter, updatedAt: at }
}

/** The headers that go with each request. */
export function openHeaders(box: SecretBox, projectId: string, settings: OtelSettings): Record<string, string> {
  const { headersEnvelope } = settings
  return headersEnvelope ? JSON.parse(box.open(headersEnvelope, bindingOf(projectId))) : {}
}

/** What the audit trail says of it. */
export function auditedOtel(settings: OtelSettings | undefined) {
  if (!settings) return undefined
  const { endpoint, headerNames, sampleRatio, filter } = settings
  return { endpoint, headers: headerNames, sample_ratio: sampleRatio, filter }
}
