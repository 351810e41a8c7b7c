import type { CallBound, TextCall } from './call-bound.ts'
import { findCallRates } from './call-rates.ts'
import { costUp, LinearBound } from './linear-bound.ts'
import { findModelLimits } from './model-limits.ts'

/** What is known of the next turn of a realtime session. */
export interface RealtimeTurn extends Pick<TextCall, 'dialect' | 'model' | 'prices' | 'assumeDearest'> {
  /** The session's or the response's own limit; undefined: `inf`, or none. */
  outputTokens: number | undefined
}

const roundingNanoUsd = 16

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
