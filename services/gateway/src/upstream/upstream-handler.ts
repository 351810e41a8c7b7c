import type { RepeatedHeaders } from './repeated-headers.ts'

/** What a handler may do with the exchange that calls it. */
export interface UpstreamController {
  /** Ends the exchange and its connection; the handler is told the reason by `onResponseError`, unless it had its end. */
  abort: (reason: Error) => void
  /** Reads no more of the answer until `resume`. */
  pause: () => void
  resume: () => void
}

/** Follows one exchange with a provider, from the moment its request leaves. Exactly one of the last two is called, once. */
export interface UpstreamHandler {
  /** A connection is there: the request leaves now, unless it is aborted here. */
  onRequestStart: (controller: UpstreamController) => void
  /** @param headers name in lower case, value, name, value … as they came */
  onResponseStart: (controller: UpstreamController, status: number, headers: readonly string[]) => void
  onResponseData: (controller: UpstreamController, chunk: Buffer) => void
  onResponseEnd: () => void
  /** `controller` is absent where nothing has left. */
  onResponseError: (controller: UpstreamController | undefined, error: Error) => void
}

/** What goes to a provider. */
export interface UpstreamRequest {
  method: string
  /** Path and query. */
  path: string
  /** Name, value, name, value …; neither `host` nor what frames the body. */
  headers: readonly string[] | RepeatedHeaders
  /** Emptied once it is out, for the exchange may go on for long. */
  body: Buffer
  /** Called when a body that is written by itself is out of this process. */
  onSent?: () => void
  /** How long the provider may take to answer. */
  headersTimeoutMs: number
  /** How long it may say nothing in the middle of its answer. */
  idleTimeoutMs: number
}
