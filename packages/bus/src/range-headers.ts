import type { JsMsg } from '@nats-io/jetstream'
import { rangeFromHeaders, type SeriesRange } from '@sluice/contracts'

/** The range of events that a usage message carries. @throws ContractError where its headers do not say */
export function rangeOfMessage(message: JsMsg): SeriesRange {
  return rangeFromHeaders(name => message.headers?.get(name) ?? '')
}
