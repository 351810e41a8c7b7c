import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Endpoint } from './endpoints.ts'
import { type BodyMemory, readBody } from './read-request.ts'
import { type ReadHeaders, readHeaders } from './request-headers.ts'
import type { Answer } from './secured-answer.ts'
import { takeRest } from './take-rest.ts'

/** What a client is answered with: a ServerResponse is one. */
export interface ClientAnswer extends Answer {
  readonly headersSent: boolean
  readonly destroyed: boolean
}

/** The client's side of one call: what it sends, and how it is answered. */
export interface ClientExchange {
  readonly method: string
  /** @throws Refusal 400 where they say two different things */
  readHeaders: () => ReadHeaders
  /** The request has come to its end. */
  readonly isComplete: boolean
  readonly answer: ClientAnswer
  /** The whole body. The caller releases its length from `memory`. @throws Refusal */
  receive: (endpoint: Endpoint, memory: BodyMemory) => Buffer | Promise<Buffer>
  /** Takes what is still coming, and drops it. */
  takeRest: () => Promise<void>
  /** Node's own objects, where the request came through its server. */
  readonly http?: HttpObjects
}

export interface HttpObjects {
  readonly request: IncomingMessage
  readonly response: ServerResponse
}

/** An exchange by Node's server. */
export class HttpExchange implements ClientExchange {
  readonly http: HttpObjects

  constructor(request: IncomingMessage, response: ServerResponse) {
    this.http = { request, response }
  }
  get method(): string {
    return this.http.request.method ?? ''
  }
  readHeaders(): ReadHeaders {
    const { rawHeaders, socket } = this.http.request
    const headers = readHeaders(rawHeaders)
    headers.peer = socket.remoteAddress
    return headers
  }
  get isComplete(): boolean {
    return this.http.request.complete
  }
  get answer(): ClientAnswer {
    return this.http.response
  }
  receive(endpoint: Endpoint, memory: BodyMemory): Promise<Buffer> {
    return readBody(this.http.request, endpoint, memory)
  }
  takeRest(): Promise<void> {
    return takeRest(this.http.request)
  }
}
