import type { UsageResult } from '@sluice/usage'
import { type RatedCall, rateCall } from '../settle.ts'

/** What a call is charged for its input, at most. */
export interface ToldInput {
  tokens: number
  nanoUsd: number
}

/**
 * Reads it from what a running reply has said of its usage; undefined: not yet. A tenth is added: a workspace may be charged a
 * tenth more for the place that it is served at, which the beginning of a reply need not say.
 */
export function readToldInput(call: RatedCall, usage: UsageResult): ToldInput | undefined {
  if (usage.provenance.in_text !== 'measured') return undefined
  const input = Object.entries(usage.quantities).filter(([name]) => name.startsWith('in_'))
  const rating = rateCall(call, { ...usage, quantities: Object.fromEntries(input) })
  if (!rating.priced) return undefined
  const tokens = input.reduce((sum, [, quantity]) => sum + quantity, 0)
  return { tokens, nanoUsd: rating.cost_nano_usd + Math.ceil(rating.cost_nano_usd / 10) + roundingNanoUsd }
}

/** Lines are rounded each on its own. */
const roundingNanoUsd = 16
