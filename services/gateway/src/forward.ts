import type { UsageRecordedData } from '@sluice/contracts'
import type { UsageResult } from '@sluice/usage'
import type { AdmittedCall } from './call.ts'
import type { Drains } from './drains.ts'
import { CountedCall, dropBody, letBodyGo } from './estimate-body.ts'
import type { LiveCalls } from './live-calls.ts'
import { openRecordOf } from './open-call.ts'
import { meteringUnavailable, type Refusal } from './refusal.ts'
import { type CheckpointFacts, Relay, type RelayDeps } from './relay.ts'
import { upstreamPath, withOurs } from './resolve-route.ts'
import { type Answer, SecuredAnswer } from './secured-answer.ts'
import { type Outcome, type SettleDeps, settle } from './settle.ts'
import type { CountedTokens } from './shapes/reply-shape.ts'
import type { TokenCounter } from './token-counter.ts'
import { RepeatedHeaders } from './upstream/repeated-headers.ts'
import type { UpstreamHandler } from './upstream/upstream-handler.ts'
import type { DispatchedRequest, Upstreams } from './upstreams.ts'

export interface ForwardDeps extends SettleDeps {
  upstreams: Upstreams
  liveCalls: LiveCalls
  tokenCounter: TokenCounter
  drains: Drains
  timeouts: { streamHeadersMs: number; headersMs: number; idleMs: number; maxDrainMs: number; maxStallMs: number }
  /** Called once the event is in the journal. */
  onSettled: (call: AdmittedCall, event: UsageRecordedData, outcome: Outcome) => void
  onInternalError: (error: unknown, callId: string) => void
}

/**
 * Larger bodies are let go once they are out: a client that has left, or a long reply, must not hold them. For smaller ones
 * the samples that would be taken cost more than keeping them until the call is settled.
 */
const keptBodyBytes = 64 * 1024

/** Stands between the provider and the relay of one call. */
export type ReplyObserver = (relay: Relay) => UpstreamHandler

/**
 * Sends a call to its provider and relays the answer. The OPEN record is on disk before the first byte leaves, so that a
 * gateway which dies from here on still settles the call.
 * @param headers what is forwarded of the client's headers, ours included; as `RepeatedHeaders` with what proves us to the provider
 * @param refuse writes a refusal as the answer
 * @param observe sees the provider's reply before the relay does
 */
export function forward(
  deps: ForwardDeps,
  call: AdmittedCall,
  headers: readonly string[] | RepeatedHeaders,
  response: Answer,
  refuse: (refusal: Refusal) => void,
  observe?: ReplyObserver,
): void {
  const { secured } = deps.journal
  const open = openRecordOf(call)
  const ends = new CallEnds(deps, call, refuse)
  const relay = new Relay(ends, call, secured ? new SecuredAnswer(response, secured) : response)
  ends.relay = relay
  try {
    deps.journal.open(open, error => {
      if (!error) return send(deps, call, headers, relay, observe)
      if (error.attemptIsOpen) return relay.onResponseError(undefined, error)
      deps.liveCalls.remove(relay)
      dropBody(call)
      call.money?.release()
      relay.abandon(meteringUnavailable(error))
    })
    if (call.held) call.held.isForwarded = true
    deps.liveCalls.add(relay)
  } catch (error) {
    // It has no OPEN. A client that leaves before it has read so finds it settled.
    dropBody(call)
    call.money?.release()
    relay.abandon(meteringUnavailable(error))
  }
}

/** What a relayed call does beside being relayed. */
class CallEnds implements RelayDeps {
  relay: Relay | undefined
  readonly refuse: (refusal: Refusal) => void
  readonly #deps: ForwardDeps
  readonly #call: AdmittedCall

  constructor(deps: ForwardDeps, call: AdmittedCall, refuse: (refusal: Refusal) => void) {
    this.#deps = deps
    this.#call = call
    this.refuse = refuse
  }

  get maxDrainMs(): number {
    return this.#deps.timeouts.maxDrainMs
  }

  get maxStallMs(): number {
    return this.#deps.timeouts.maxStallMs
  }

  get drains(): Drains {
    return this.#deps.drains
  }

  get tokens(): CountedTokens {
    return new CountedCall(this.#deps.tokenCounter, this.#call)
  }

  onFault(error: unknown): void {
    this.#deps.onInternalError(error, this.#call.callId)
  }

  checkpoint(usage: UsageResult, { outputBytes, httpStatus, providerRequestId }: CheckpointFacts): void {
    this.#deps.journal.checkpoint({
      event_id: this.#call.eventId,
      at_ms: Date.now(),
      output_bytes: outputBytes,
      quantities: usage.quantities,
      provenance: usage.provenance,
      modifiers: usage.modifiers,
      ...(usage.parts === undefined ? {} : { parts: usage.parts }),
      ...(usage.served_model === undefined ? {} : { served_model: usage.served_model }),
      ...(usage.response_id === undefined ? {} : { response_id: usage.response_id }),
      ...(providerRequestId === undefined ? {} : { provider_request_id: providerRequestId }),
      http_status: httpStatus,
    })
  }

  settle(outcome: Outcome, written?: (error?: Error) => void): UsageRecordedData {
    if (this.relay) this.#deps.liveCalls.remove(this.relay)
    const event = settle(this.#deps, this.#call, outcome, written)
    dropBody(this.#call)
    this.#deps.onSettled(this.#call, event, outcome)
    return event
  }
}

/** The OPEN stands in the journal: the call may leave. */
function send(
  deps: ForwardDeps,
  call: AdmittedCall,
  headers: readonly string[] | RepeatedHeaders,
  relay: Relay,
  observe: ReplyObserver | undefined,
): void {
  const { route } = call
  // It may have been left or cut since.
  if (relay.isSettled) return
  const handler = observe ? observe(relay) : relay
  try {
    const body = Buffer.isBuffer(call.body) ? call.body : call.body.open()
    const request: DispatchedRequest = {
      path: upstreamPath(route, call.match),
      method: call.endpoint.method,
      headers: headers instanceof RepeatedHeaders ? headers : withOurs(headers, route),
      body,
      headersTimeoutMs: call.streamed ? deps.timeouts.streamHeadersMs : deps.timeouts.headersMs,
      idleTimeoutMs: deps.timeouts.idleMs,
    }
    if (Buffer.isBuffer(body) && body.length > keptBodyBytes) request.onSent = () => letBodyGo(call)
    deps.upstreams.dispatch(route, request, handler)
  } catch (error) {
    handler.onResponseError(undefined, error as Error)
  }
}
