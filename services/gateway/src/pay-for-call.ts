import type { UsageResult } from '@sluice/usage'
import { boundTextCall, type CallBound, mayThink, sizeOf, type TextCall } from './bounds/call-bound.ts'
import { clampOutput } from './bounds/clamp-output.ts'
import type { CountedPrompts, MarkedPrompt } from './bounds/counted-prompts.ts'
import { boundMediaCall } from './bounds/media-bound.ts'
import { isCountable, tightenTextBound } from './bounds/tighten-bound.ts'
import type { MatchedBudget } from './budget-index.ts'
import type { AdmittedCall } from './call.ts'
import type { Journal } from './journal/journal.ts'
import type { Money } from './leases/money.ts'
import { PaceStream } from './leases/pace-stream.ts'
import { knownNow, type LeaseDeps, type Paying, type Taken, takeMoney, takeNow } from './leases/take-money.ts'
import { readToldInput, type ToldInput } from './leases/told-input.ts'
import { type Hold, unusedWindow } from './met-budgets.ts'
import { holdOfPaid } from './paid-hold.ts'
import type { ModelRequest } from './read-request.ts'
import { nameOf, Refusal } from './refusal.ts'
import { counterOf } from './resolve-route.ts'
import { JsonScanError } from './scan-json.ts'

export interface PayDeps {
  leases: LeaseDeps
  prompts: CountedPrompts
  journal: Pick<Journal, 'extend' | 'secured'>
}

/** A call, and the money that it holds. */
export interface PaidCall {
  money: Money
  /** As it goes out. */
  asked: ModelRequest
  clampedTo: number | undefined
  /** By which of its budgets. */
  clampedBy?: MatchedBudget | undefined
  pace: PaceStream | undefined
  /** Its provider is about to count it. */
  prompt?: MarkedPrompt | undefined
}

/**
 * Holds what a call can use of its hard budgets. Undefined: it has none. Where its budgets pay for less output than it asks for,
 * the smaller limit stands in the body. Whoever gets it settles or releases it.
 * @throws Refusal
 */
export function payForCall(
  deps: PayDeps,
  admitted: AdmittedCall,
  asked: ModelRequest,
): PaidCall | Promise<PaidCall> | undefined {
  const { hard } = admitted.hold
  if (hard.length === 0) return undefined
  const { eventId: attemptId, admittedAtMs, streamed } = admitted
  // What goes on without its client is not seen to its end.
  const isHeard = streamed && !asked.background && asked.sound?.speaks !== true
  const { bound, text, prompt } = boundOf(deps, admitted, asked)
  const isVisible = isHeard && text !== undefined && !mayThink(text)
  const paying: Paying = { attemptId, budgets: hard, bound, isVisible }
  if (text && isCountable(text)) paying.tighten = () => tightenTextBound(text, bound, deps.leases.countText)
  const paid = (taken: Taken): PaidCall => {
    const sent = taken.isPaced ? asAsked(taken, asked) : withClamp(taken, asked)
    sent.prompt = prompt
    if (!isHeard || !text || taken.money.isExact) return sent
    const paced: PacedCall = { ...taken, attemptId, isVisible: isVisible && sent.clampedTo === undefined }
    if (sent.clampedTo !== undefined) paced.outputTokens = sent.asked.limits?.outputTokens ?? taken.outputTokens
    sent.pace = paceOf(deps, paced, admitted, taken.isPaced ? text : undefined)
    return sent
  }
  const taken = takeMoney(deps.leases, paying, admittedAtMs)
  return taken instanceof Promise ? taken.then(paid) : paid(taken)
}

/** What a call counts in, once it is paid. */
export function paidHoldOf({ copies }: LeaseDeps, hold: Hold, { budgets }: Pick<Money, 'budgets'>): Hold {
  const nowMs = Date.now()
  return holdOfPaid(
    hold,
    budgets,
    ({ budget, copy }) => copies.findWindow(budget.budget_id, copy, nowMs) ?? unusedWindow(budget, copy, nowMs),
  )
}

function asAsked({ money }: Taken, asked: ModelRequest): PaidCall {
  return { money, asked, clampedTo: undefined, clampedBy: undefined, pace: undefined, prompt: undefined }
}

interface PacedCall extends Taken {
  attemptId: string
  /** All of its output is seen while it runs, and no smaller limit holds for it. */
  isVisible: boolean
}

/**
 * Pays for a stream as it runs. What it keeps of the request for that is little, unless it is paid for by its tranches from the beginning.
 * @param text what its bound in another tier is told by
 */
function paceOf(deps: PayDeps, taken: PacedCall, admitted: AdmittedCall, text: TextCall | undefined): PaceStream {
  const { attemptId, money, bound, outputTokens = bound.outputTokens, isVisible } = taken
  return new PaceStream(deps.leases, {
    attemptId,
    projectId: admitted.principal.project.project_id,
    model: admitted.requestedModel,
    money,
    bound,
    outputTokens,
    isVisible,
    boundInTier: text && (servedTier => boundTextCall({ ...text, servedTier })),
    readInput: bound.isInputTold ? inputReader(admitted) : undefined,
    extend: holds => deps.journal.extend({ event_id: attemptId, holds }),
    secured: deps.journal.secured,
  })
}

/** Keeps of a call what its prices are found by. */
function inputReader({
  route,
  prices,
  requestedModel,
  principal,
}: AdmittedCall): (usage: UsageResult) => ToldInput | undefined {
  const rated = { route, prices, requestedModel, principal }
  return usage => readToldInput(rated, usage)
}

/**
 * Holds at once what a call may use that its provider has begun by itself.
 * @returns why nothing is held: it has to be ended, and counts by its event
 */
export function payForBegun(
  { leases }: Pick<PayDeps, 'leases'>,
  admitted: AdmittedCall,
  boundOf: (admitted: AdmittedCall) => CallBound,
): Refusal | undefined {
  const { hard } = admitted.hold
  const [first] = hard
  if (!first) return undefined
  const bound = boundOf(admitted)
  const { eventId: attemptId, admittedAtMs } = admitted
  const money = takeNow(leases, { attemptId, budgets: hard, bound, isVisible: false }, admittedAtMs)
  if (!money) {
    const budget = knownNow(leases, first, admittedAtMs)
    return new Refusal(
      'budget_held',
      `Budget ${nameOf(budget)} is hard, and this gateway holds too little of it for what the provider has begun by itself. Try again in a moment.`,
      { retryAfterS: 1, budget },
    )
  }
  admitted.money = money
  return undefined
}

function notHeld(leases: LeaseDeps, { hard: [first] }: Pick<Hold, 'hard'>, what: string): Refusal {
  const budget = first && knownNow(leases, first, Date.now())
  return new Refusal(
    'budget_not_bounded',
    `Budget ${budget && nameOf(budget)} is hard, and money for ${what} cannot be held before it is sent. Set a soft budget for it, or use another path.`,
    budget && { budget },
  )
}

/** `text`: what it was told from, where that is text. */
function boundOf(
  { leases, prompts }: Pick<PayDeps, 'leases' | 'prompts'>,
  { endpoint, match, requestedModel, prices, principal, hold, route }: AdmittedCall,
  asked: ModelRequest,
): { bound: CallBound; text?: TextCall; prompt?: MarkedPrompt | undefined } {
  const { shape } = endpoint
  const { dialect } = match
  const assumeDearest = principal.project.unpriced === 'assume_max'
  if (shape === 'speech' || shape === 'transcript' || shape === 'images') {
    const about = { dialect, model: requestedModel, prices, assumeDearest }
    return { bound: boundMediaCall({ ...about, shape, request: asked }) }
  }
  if (asked.scanned) {
    const text: TextCall = {
      dialect,
      model: requestedModel,
      prices,
      assumeDearest,
      endpoint,
      body: asked.scanned,
      named: asked.named,
      inBackground: asked.background,
      size: undefined,
      counted: undefined,
    }
    return boundText(prompts, text, principal.project.project_id, counterOf(route))
  }
  throw notHeld(leases, hold, `a call of ${endpoint.name}`)
}

/** @throws Refusal 400 where a text that the bound is told by is none */
function boundText(
  prompts: CountedPrompts,
  text: TextCall,
  projectId: string,
  counter: string,
): { bound: CallBound; text: TextCall; prompt: MarkedPrompt | undefined } {
  try {
    const size = sizeOf(text)
    const prompt = prompts.read(text, size, projectId, counter)
    text.size = size
    text.counted = prompt?.counted
    return { bound: boundTextCall(text), text, prompt }
  } catch (error) {
    if (error instanceof JsonScanError) throw new Refusal('invalid_request', error.message, { cause: error })
    throw error
  }
}

function withClamp(taken: Taken, asked: ModelRequest): PaidCall {
  const { money, outputTokens, limitedBy } = taken
  const { clamp } = taken.bound
  if (outputTokens === undefined) return asAsked(taken, asked)
  try {
    const { body } = asked
    const clamped = clamp && Buffer.isBuffer(body) ? clampOutput(body, clamp, outputTokens) : undefined
    if (!clamped)
      throw new Refusal(
        'budget_held',
        'What this call has left of its budgets is too little for an answer. Try again.',
        {
          retryAfterS: 1,
        },
      )
    const limits = asked.limits && { ...asked.limits, outputTokens: clamped.outputTokens }
    const sent = asAsked(taken, { ...asked, body: clamped.body, ...(limits && { limits }) })
    sent.clampedTo = clamped.limit
    sent.clampedBy = limitedBy
    return sent
  } catch (error) {
    money.release()
    throw error
  }
}
