import { openResponsesTap, type ResponsesTap } from '@sluice/usage'
import { maxParsedBytes } from '../shapes/read-json.ts'
import type { UpstreamController, UpstreamHandler } from '../upstream/upstream-handler.ts'
import { LargeResponse, parseResponse, readResponse, type ToldResponse } from './response-object.ts'

/** Finds the response object in a reply as it passes, whole or streamed. Never throws on what a provider sends. */
export class ResponseFinder {
  #tap: ResponsesTap | undefined
  #chunks: Buffer[] | undefined
  #large: LargeResponse | undefined
  #size = 0

  start(status: number, headers: readonly string[]): void {
    if (status !== 200) return
    const contentType = headers[headers.findIndex((name, at) => at % 2 === 0 && name === 'content-type') + 1]
    if (contentType?.startsWith('text/event-stream')) this.#tap = openResponsesTap({ model: '' })
    else this.#chunks = []
  }

  write(chunk: Buffer): void {
    this.#tap?.write(chunk)
    this.#large?.write(chunk)
    if (!this.#chunks) return
    this.#size += chunk.length
    this.#chunks.push(chunk)
    if (this.#size <= maxParsedBytes) return
    this.#large = new LargeResponse()
    for (const kept of this.#chunks) this.#large.write(kept)
    this.#chunks = undefined
  }

  /** What a stream has told so far; a whole reply tells at its end. */
  toldSoFar(): ToldResponse | undefined {
    return readResponse(this.#tap?.state.response)
  }

  told(): ToldResponse | undefined {
    if (this.#large) return this.#large.told()
    return this.#chunks ? parseResponse(Buffer.concat(this.#chunks)) : this.toldSoFar()
  }
}

/** How a reply has ended. */
export interface ReplyEnd {
  status: number
  /** The response object in it, as it was told last. */
  told: ToldResponse | undefined
}

/** Passes a reply on, and says what was in it once it has come to its end. */
export class ResponseObserver implements UpstreamHandler {
  readonly #next: UpstreamHandler
  readonly #onEnd: (end: ReplyEnd) => void
  readonly #finder = new ResponseFinder()
  #status = 0

  constructor(next: UpstreamHandler, onEnd: (end: ReplyEnd) => void) {
    this.#next = next
    this.#onEnd = onEnd
  }

  onRequestStart(controller: UpstreamController): void {
    this.#next.onRequestStart(controller)
  }

  onResponseStart(controller: UpstreamController, status: number, headers: readonly string[]): void {
    this.#status = status
    this.#finder.start(status, headers)
    this.#next.onResponseStart(controller, status, headers)
  }

  onResponseData(controller: UpstreamController, chunk: Buffer): void {
    this.#finder.write(chunk)
    this.#next.onResponseData(controller, chunk)
  }

  onResponseEnd(): void {
    this.#next.onResponseEnd()
    this.#tell()
  }

  onResponseError(controller: UpstreamController | undefined, error: Error): void {
    this.#next.onResponseError(controller, error)
    this.#tell()
  }

  #tell(): void {
    this.#onEnd({ status: this.#status, told: this.#finder.told() })
  }
}
