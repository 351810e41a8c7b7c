import type { ClaimedDimensions } from '@sluice/contracts'
import type { SampledCall } from '@sluice/telemetry'
import type { PriceBooksOfCall } from './allow-model.ts'
import type { AskedLimits } from './asked-limits.ts'
import type { Principal } from './authenticate.ts'
import type { MarkedPrompt } from './bounds/counted-prompts.ts'
import type { MatchedBudget } from './budget-index.ts'
import type { ChatSound } from './chat-sound.ts'
import type { ClientApp } from './client-app.ts'
import type { Endpoint } from './endpoints.ts'
import type { BodySample } from './estimate-body.ts'
import type { HeldBody } from './held-body.ts'
import type { Money } from './leases/money.ts'
import type { PaceStream } from './leases/pace-stream.ts'
import type { AskedCall } from './live-calls.ts'
import type { PathMatch } from './match-path.ts'
import type { Hold } from './met-budgets.ts'
import type { BinaryContent } from './read-request.ts'
import type { Route } from './resolve-route.ts'
import type { AskedUsage, MediaAsk } from './shapes/reply-shape.ts'
import type { SpooledFile } from './uploads/spool.ts'

/** Whether what a call uses is charged to its project's balance. */
export function isCharged({ endpoint, route }: { endpoint: Endpoint; route: Route }): boolean {
  return !endpoint.free && route.paidBy === 'managed'
}

/** A call that was let in: who, what, at which prices, to where. Fixed at admission. */
export interface AdmittedCall {
  callId: string
  /** Attempt id; one attempt is one event. */
  eventId: string
  attempt: number
  admittedAtMs: number
  /** On the clock of `performance.now()`: when the head was read, the wait for the body left out. */
  startedAt: number
  endpoint: Endpoint
  match: PathMatch
  client: ClientApp
  claimed: ClaimedDimensions
  principal: Principal
  /** Empty where the endpoint has none. */
  requestedModel: string
  streamed: boolean
  /** Counts where the provider tells no number of its own. */
  estimatedInputTokens: number
  /** What the request itself tells of its use, where that is not text: counts instead of `estimatedInputTokens`. */
  asked: AskedUsage | undefined
  /** What the request insists on, by which its reply's usage is judged. */
  limits?: AskedLimits | undefined
  /** Of calls for sound and images. */
  media?: MediaAsk | undefined
  /** As it goes to the provider. Empty once it is out and was large. */
  body: Buffer | SpooledFile
  /** What the body counts for in memory. */
  held?: HeldBody | undefined
  binary?: BinaryContent | undefined
  /** What a chat sends of sound, beside `estimatedInputTokens`, and how it is to be answered. */
  sound?: ChatSound | undefined
  /** Of a body that has been let go: what an estimate needs of it. */
  bodySample?: BodySample | undefined
  /** We asked for the usage chunk; the client did not, and does not get it. */
  withholdUsage: boolean
  wantsReceipt: boolean
  /** It asks for no output, and its provider may tell no usage: then there was none. */
  isWarmUp?: true
  /** The realtime call that it is a turn of, by the provider's ids. */
  inCall?: { callId: string; turnId: string }
  prices: PriceBooksOfCall
  hold: Hold
  /** Of hard budgets, from before the OPEN to the CLOSE. */
  money?: Money | undefined
  /** Who has that money from its CLOSE on: what it begins outlives it. */
  holder?: string | undefined
  /** Pays for more of it as it goes on. */
  pace?: PaceStream | undefined
  /** Learns what its provider counts its prompt as. */
  prompt?: MarkedPrompt | undefined
  /** Its budgets pay for less output than it asked for: the limit that was put into it. */
  clampedTo?: number | undefined
  /** By which of them. */
  clampedBy?: MatchedBudget | undefined
  route: Route
  span: SampledCall | undefined
}

/** What budgets are told of a call that are made while it runs; of a free one they hear nothing. */
export function askedOf(call: AdmittedCall): AskedCall | undefined {
  return call.endpoint.free ? undefined : call
}
