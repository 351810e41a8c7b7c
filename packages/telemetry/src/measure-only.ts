import { subscribe } from 'node:diagnostics_channel'
import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http'
import { histogram } from './metrics.ts'
import { enterTrace, passTraceOn } from './passed-on-trace.ts'

const buckets = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]
const labelNames = ['http_request_method', 'http_response_status_code'] as const
const methods = new Set(['CONNECT', 'DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT', 'TRACE'])

/**
 * Where no span can go anywhere: HTTP is measured under OpenTelemetry's names, and a caller's trace context is passed on as it
 * came, both from what Node tells of its requests. OpenTelemetry's SDK and its patches of modules would more than double the
 * time a service takes to load.
 */
export function measureOnly(): void {
  measureServer()
  measureClient()
}

function measureServer(): void {
  const served = histogram('http_server_request_duration', 'Duration of HTTP server requests.', { labelNames, buckets })
  subscribe('http.server.request.start', message => {
    const { request, response } = message as { request: IncomingMessage; response: ServerResponse }
    // Told in the very callback that goes on to answer: what that starts is of this request.
    enterTrace(request.headers)
    if (/^\/(health|metrics)/.test(request.url ?? '')) return
    const beganAt = performance.now()
    response.once('close', () =>
      served.labels(methodOf(request.method), String(response.statusCode)).observe(secondsSince(beganAt)),
    )
  })
}

function measureClient(): void {
  const asked = histogram('http_client_request_duration', 'Duration of HTTP client requests.', { labelNames, buckets })
  const beganAtMs = new WeakMap<ClientRequest, number>()
  const end = (request: ClientRequest, status: string) => {
    const beganAt = beganAtMs.get(request)
    if (beganAt === undefined) return
    beganAtMs.delete(request)
    asked.labels(methodOf(request.method), status).observe(secondsSince(beganAt))
  }
  subscribe('http.client.request.created', message => {
    const { request } = message as { request: ClientRequest }
    beganAtMs.set(request, performance.now())
    if (request.headersSent) return
    passTraceOn((name, value) => request.setHeader(name, value))
  })
  subscribe('http.client.response.finish', message => {
    const { request, response } = message as { request: ClientRequest; response: IncomingMessage }
    end(request, String(response.statusCode))
  })
  subscribe('http.client.request.error', message => end((message as { request: ClientRequest }).request, ''))
}

const secondsSince = (beganAt: number) => (performance.now() - beganAt) / 1_000
/** Of a small set only, whatever a client sends. */
const methodOf = (method: string | undefined) => (method !== undefined && methods.has(method) ? method : '_OTHER')
