import type { Quantities } from '@sluice/contracts'
import type { PriceBooksOfCall } from '../allow-model.ts'
import type { Principal } from '../authenticate.ts'
import type { AdmittedCall } from '../call.ts'
import type { CallBound, TextCall } from './call-bound.ts'
import { findCallRates } from './call-rates.ts'
import { costUp, LinearBound } from './linear-bound.ts'
import { boundMediaCall } from './media-bound.ts'
import { findModelLimits } from './model-limits.ts'

/** What is known of the next turn of a realtime session. */
export interface RealtimeTurn extends Pick<TextCall, 'dialect' | 'model' | 'prices' | 'assumeDearest'> {
  /** The session's or the response's own limit; undefined: `inf`, or none. */
  outputTokens: number | undefined
}

const roundingNanoUsd = 16

/** Bounds a turn of which nothing is known but its call: the whole window, and the most that its model says. */
export function boundWholeTurn({ requestedModel, prices, principal }: AdmittedCall): CallBound {
  return boundTurnOf(principal, requestedModel, prices)
}

/** The same before there is a call. */
export function boundTurnOf({ project }: Principal, model: string, prices: PriceBooksOfCall): CallBound {
  const assumeDearest = project.unpriced === 'assume_max'
  return boundRealtimeTurn({ dialect: 'openai', model, prices, assumeDearest, outputTokens: undefined })
}

/** Bounds what was heard and is being written down, by its length. */
export function boundHeard({ asked, requestedModel, prices, principal }: AdmittedCall): CallBound {
  return boundHeardOf(principal, requestedModel, prices, asked?.quantities ?? {})
}

/** The same before there is a call. */
export function boundHeardOf(
  { project }: Principal,
  model: string,
  prices: PriceBooksOfCall,
  quantities: Quantities,
): CallBound {
  return boundMediaCall({
    shape: 'transcript',
    dialect: 'openai',
    model,
    prices,
    request: { asked: { quantities, provenance: {}, modifiers: {} }, body: Buffer.alloc(0) },
    assumeDearest: project.unpriced === 'assume_max',
  })
}

/** Where nothing is held. */
export const noBound: CallBound = new LinearBound({
  outputTokens: 0,
  leastOutputTokens: 0,
  clamp: undefined,
  fixedTokens: 0,
  fixedNanoUsd: 0,
  outputRate: 0,
  outputTimes: 0,
  requests: 0,
  tightness: 'tight',
  unboundedBy: undefined,
})

/** Bounds one turn: all that has been said is read again, and each token of it may be sound. */
export function boundRealtimeTurn(turn: RealtimeTurn): CallBound {
  const { dialect, model } = turn
  const limits = findModelLimits(dialect, model)
  const rates = findCallRates(
    turn.prices,
    {
      dialect,
      model,
      tier: undefined,
      geo: undefined,
      speed: undefined,
      cacheWrites: 'none',
      searchesByPreview: false,
      inBatch: false,
      assumeDearest: turn.assumeDearest,
    },
    limits.contextTokens,
  )
  return new LinearBound({
    outputTokens: turn.outputTokens ?? limits.outputTokens,
    leastOutputTokens: turn.outputTokens ?? limits.outputTokens,
    clamp: undefined,
    fixedTokens: limits.contextTokens,
    fixedNanoUsd: roundingNanoUsd + costUp(limits.contextTokens, Math.max(rates.inText, rates.inAudio, rates.inImage)),
    outputRate: Math.max(rates.outText, rates.outAudio),
    outputTimes: 1,
    requests: 1,
    tightness: 'loose',
    unboundedBy: undefined,
  })
}
