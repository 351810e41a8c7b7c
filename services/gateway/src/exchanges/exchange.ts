import type { UsageRecordedData } from '@sluice/contracts'
import { freeUsage } from '@sluice/usage'
import { addCost, answerHeaders } from '../answer-headers.ts'
import type { AdmittedCall } from '../call.ts'
import type { Journal } from '../journal/journal.ts'
import type { LiveCall } from '../live-calls.ts'
import { openRecordOf } from '../open-call.ts'
import { Refusal } from '../refusal.ts'
import type { AuthenticatedCall, GatewayDeps } from '../request-path.ts'
import { type Outcome, settle } from '../settle.ts'
import { flatHeaders } from '../upstream/flat-headers.ts'
import { type ProviderAnswer, ProviderAwayError } from './ask-provider.ts'

/** What came of asking, and the event that it made. */
export interface Exchanged {
  answer: ProviderAnswer
  event: UsageRecordedData
  overheadUs: number
  /** {@link Journal.secured}: what the answer waits for. */
  secured: Journal['secured']
}

export interface ExchangeOptions {
  /** Between the OPEN and the asking. */
  prepare?: () => Promise<void>
  ask: (signal: AbortSignal) => Promise<ProviderAnswer>
  /** Whether what it makes may exist, by the status of its answer, or why there was none: then what it holds outlives it. */
  mayExist?: (answered: { status: number } | { error: unknown }) => boolean
  /** May be broken off when permission goes, also once asked: it changes nothing at the provider that we would have to know of. */
  breakable: boolean
}

/**
 * One call about what costs nothing by itself, a batch or a file: the OPEN, the asking, its event at no cost. What batches
 * cost is settled from their results.
 * @throws ProviderAwayError, and what `prepare` throws; the event is written in any case
 */
export async function exchange(deps: GatewayDeps, call: AdmittedCall, options: ExchangeOptions): Promise<Exchanged> {
  try {
    deps.journal.open(openRecordOf(call))
  } catch (error) {
    call.money?.release()
    throw error
  }
  const stop = new AbortController()
  let isAsked = false
  const live: LiveCall = {
    identity: call.principal.identity,
    budgets: call.hold.budgets,
    claimed: call.claimed,
    // What it makes costs later.
    isCharged: options.mayExist !== undefined && call.route.paidBy === 'managed',
    place: -1,
    cut: ({ refusal }) => {
      if (options.breakable || !isAsked) stop.abort(refusal)
    },
  }
  deps.liveCalls.add(live)
  let overheadUs = 0
  const settleAs = (part: Pick<Outcome, 'status' | 'httpStatus' | 'errorCode' | 'providerRequestId'>) => {
    deps.liveCalls.remove(live)
    const outcome: Outcome = {
      ...part,
      usage: freeUsage(),
      drained: false,
      cutBy: undefined,
      timeToFirstChunkMs: undefined,
      overheadUs,
      finishedAtMs: Date.now(),
    }
    const event = settle(deps, call, outcome)
    deps.onSettled(call, event, outcome)
    return event
  }
  try {
    await deps.journal.secured?.()
    await options.prepare?.()
    stop.signal.throwIfAborted()
    isAsked = true
    overheadUs = Math.max(0, Math.round((performance.now() - call.startedAt) * 1000))
    const answer = await options.ask(stop.signal)
    if (options.mayExist?.(answer) === false) call.holder = undefined
    const failed = answer.status >= 400
    const event = settleAs({
      status: failed ? 'failed' : 'completed',
      httpStatus: answer.status,
      errorCode: failed ? `provider_${answer.status}` : undefined,
      providerRequestId: requestIdOf(answer),
    })
    return { answer, event, overheadUs, secured: deps.journal.secured }
  } catch (error) {
    if (options.mayExist?.({ error }) === false) call.holder = undefined
    const code = error instanceof ProviderAwayError ? error.failure.code : 'not_sent'
    settleAs({ status: 'failed', httpStatus: 0, errorCode: code, providerRequestId: undefined })
    throw stop.signal.aborted && stop.signal.reason instanceof Refusal ? stop.signal.reason : error
  }
}

/** What a caller is told of a provider that gave no answer. */
export function refusalOfAway(error: unknown): unknown {
  if (!(error instanceof ProviderAwayError)) return error
  return new Refusal(error.failure.reason, error.failure.message, { cause: error })
}

/**
 * Sends the provider's answer on, or another body in its place, when its CLOSE is as safe as the mode promises. Where that
 * cannot be, the connection breaks: what was done at the provider is done, and no refusal may deny it.
 */
export async function answerExchange(
  call: AuthenticatedCall,
  admitted: AdmittedCall,
  { answer, event, overheadUs, secured }: Exchanged,
  body: Buffer = answer.body,
): Promise<void> {
  try {
    await secured?.()
  } catch {
    call.response.destroy()
    return
  }
  const headers = answerHeaders(admitted, flatHeaders(answer.headers), overheadUs)
  addCost(headers, event.cost_nano_usd)
  headers.push('content-length', String(body.length))
  call.response.writeHead(answer.status, headers)
  call.response.end(body)
}

function requestIdOf(answer: ProviderAnswer): string | undefined {
  const id = answer.headers['x-request-id'] ?? answer.headers['request-id']
  return typeof id === 'string' ? id.slice(0, 128) : undefined
}
