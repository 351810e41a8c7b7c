import type { AdmittedCall } from '../call.ts'
import type { Money } from '../leases/money.ts'
import { type PayDeps, paidHoldOf, payForCall } from '../pay-for-call.ts'
import { type ModelRequest, scanRequest } from '../read-request.ts'
import { Refusal } from '../refusal.ts'
import type { ScannedObject } from '../scan-json.ts'
import { type ClientEvent, innerObject, namedModelsOf } from './client-event.ts'

/** A turn that its hard budgets have paid for. */
export interface PaidTurn {
  money: Money
  /** The event as it goes out: where its budgets pay for less output than it asks for, with a smaller limit. */
  data: Buffer
  /** Puts what it holds into the call that is let in behind the wait. */
  give: (call: AdmittedCall) => AdmittedCall
}

/**
 * Holds what a turn of a Responses socket can use, as for a call: its `response.create` is the request. Undefined: no hard budget
 * counts it. @throws Refusal
 */
export async function payForTurn(
  deps: PayDeps,
  admitted: AdmittedCall,
  event: ClientEvent,
): Promise<PaidTurn | undefined> {
  if (admitted.hold.hard.length === 0) return undefined
  const request = requestOf(event)
  const asked: ModelRequest = {
    model: admitted.requestedModel,
    streamed: true,
    body: request.bytes,
    withholdUsage: false,
    estimatedInputTokens: admitted.estimatedInputTokens,
    asked: undefined,
    named: namedModelsOf(event),
    scanned: request,
  }
  const paid = await payForCall(deps, admitted, asked)
  if (!paid) return undefined
  const { money, pace, prompt, clampedTo, clampedBy } = paid
  const body = Buffer.isBuffer(paid.asked.body) ? paid.asked.body : request.bytes
  const { bytes } = event
  const isWhole = request.start === 0
  return {
    money,
    data: isWhole ? body : Buffer.concat([bytes.subarray(0, request.start), body, bytes.subarray(request.end)]),
    give: call => {
      const hold = paidHoldOf(deps.leases, call.hold, money)
      return Object.assign(call, { eventId: admitted.eventId, hold, money, pace, prompt, clampedTo, clampedBy })
    },
  }
}

interface RequestInEvent {
  bytes: Buffer
  object: ScannedObject
  /** Where it stands in the event. */
  start: number
  end: number
}

/** What a provider may read from two places has no bound that holds for both. @throws Refusal */
function requestOf(event: ClientEvent): RequestInEvent {
  const { bytes } = event
  const object = scanRequest(bytes)
  const response = innerObject(event, 'response')
  if (!response) return { bytes, object, start: 0, end: bytes.length }
  if (object.members.size > 0)
    throw new Refusal(
      'invalid_request',
      'Under a hard budget a turn says what it asks for in one place: in the event itself, or in its "response".',
    )
  const span = event.scanned.members.get('response')
  const start = span?.start ?? 0
  return { bytes: response.bytes, object: scanRequest(response.bytes), start, end: start + response.bytes.length }
}
