import { totalInputTokens, totalOutputTokens, type UsageDoubt } from '@sluice/contracts'
import { estimateTokens, maxBytesPerToken, type UsageResult } from '@sluice/usage'
import type { AdmittedCall } from './call.ts'
import { estimateAsked, type ReplyShapeName } from './reply-reader.ts'

/** Kinds of replies whose providers tell what they used, always. */
const tellsUsage: ReadonlySet<ReplyShapeName> = new Set(['chat', 'responses', 'compaction', 'messages', 'embeddings'])

type JudgedCall = Pick<AdmittedCall, 'limits' | 'asked' | 'estimatedInputTokens' | 'sound' | 'isWarmUp'> & {
  endpoint: Pick<AdmittedCall['endpoint'], 'shape' | 'free'>
}

/**
 * Judges what a provider tells of its use. Its numbers count as they are, since they are what it will charge; but a side
 * of which it tells nothing, though something was sent or said, is estimated: no call is free because its provider is silent.
 * @param seen.outputBytes what was said in the reply, as text
 * @param seen.whole the reply came to its end
 */
export function doubtUsage(
  call: JudgedCall,
  usage: UsageResult,
  seen: { outputBytes: number; whole: boolean },
): { usage: UsageResult; doubts: UsageDoubt[] } {
  const { endpoint, limits } = call
  if (endpoint.free || !tellsUsage.has(endpoint.shape)) return { usage, doubts: [] }
  if (usage.raw_usage === null) {
    const isNoUse = call.isWarmUp === true && seen.outputBytes === 0
    return { usage, doubts: seen.whole && !isNoUse ? ['usage_missing'] : [] }
  }
  const doubts: UsageDoubt[] = []
  let judged = usage
  const output = totalOutputTokens(usage.quantities)
  // An output that is an estimate already is none of the provider's telling.
  if (usage.provenance.out_text !== 'estimated') {
    if (output === 0 ? seen.outputBytes > 0 : seen.outputBytes > Math.max(64, output * maxBytesPerToken)) {
      doubts.push('output_below_text')
      if (output === 0) judged = withEstimate(judged, { out_text: estimateTokens(seen.outputBytes) })
    }
    if (limits?.outputTokens !== undefined && !usage.parts && output > limits.outputTokens)
      doubts.push('output_above_limit')
  }
  const isWork = output > 0 || seen.outputBytes > 0 || endpoint.shape === 'embeddings'
  if (isWork && totalInputTokens(usage.quantities) === 0) {
    doubts.push('input_missing')
    judged = withEstimate(judged, estimateAsked(call).quantities)
  }
  if (usage.shrank) doubts.push('usage_shrank')
  const { service_tier: served } = usage.modifiers
  if (limits?.tier !== undefined && served !== undefined && served !== limits.tier) doubts.push('tier_not_asked')
  return { usage: judged, doubts }
}

function withEstimate(usage: UsageResult, quantities: UsageResult['quantities']): UsageResult {
  const marks = Object.fromEntries(Object.keys(quantities).map(name => [name, 'estimated' as const]))
  return {
    ...usage,
    quantities: { ...usage.quantities, ...quantities },
    provenance: { ...usage.provenance, ...marks },
  }
}
