import { informational, type QuantityName, quantityNames } from '@sluice/contracts'
import { exactInteger, exactUsd } from './exact-json.ts'
import type { UsageSum } from './usage-sum-store.ts'

/** Token keys as MeshAgent's clients know them, for models of OpenAI and of providers like it. */
const openaiTypes: Partial<Record<string, string>> = {
  in_text: 'input_tokens',
  in_audio: 'audio_input_tokens',
  in_image: 'image_input_tokens',
  in_cache_read: 'cached_tokens',
  in_cache_read_audio: 'audio_cached_tokens',
  in_cache_read_image: 'image_cached_tokens',
  in_cache_write_5m: 'cache_write_tokens',
  in_cache_write_1h: 'cache_write_tokens',
  in_cache_write_other: 'cache_write_tokens',
  out_text: 'output_tokens',
  out_audio: 'audio_output_tokens',
  out_image: 'image_output_tokens',
  chars_in: 'characters',
  audio_ms_in: 'audio_input_ms',
  audio_ms_out: 'audio_output_ms',
}

const anthropicTypes: Partial<Record<string, string>> = {
  ...openaiTypes,
  in_cache_read: 'cache_read_input_tokens',
  in_cache_write_5m: 'cache_creation_input_tokens',
  in_cache_write_1h: 'cache_creation_input_tokens',
  in_cache_write_other: 'cache_creation_input_tokens',
}

/** The usage type a quantity is shown as; undefined: it is a part of another one. */
export function usageTypeOf(provider: string, quantity: string): string | undefined {
  if (informational.has(quantity as QuantityName)) return undefined
  return (provider === 'anthropic' ? anthropicTypes : openaiTypes)[quantity] ?? quantity
}

interface TypeTotal {
  total: bigint
  cost: bigint
}

/**
 * Rows of `cost_by_provider`: one a type with its total and its price. The prices of a model's rows sum to its cost.
 * What the simulator answered are rows of their own, which say so. Zeros are left out.
 */
export function toUsageReport(projectId: string, sums: readonly UsageSum[], onlyType: string | undefined): object[] {
  return sums.flatMap(sum => {
    const types = new Map<string, TypeTotal>()
    const typeTotal = (quantity: string): TypeTotal | undefined => {
      const type = usageTypeOf(sum.provider, quantity)
      if (type === undefined || (onlyType !== undefined && onlyType !== type)) return undefined
      const total = types.get(type) ?? { total: 0n, cost: 0n }
      types.set(type, total)
      return total
    }
    // Names of the contract first and in its order, so that a report reads the same each time.
    const names = new Set([...quantityNames, ...Object.keys(sum.quantities), ...Object.keys(sum.costs)])
    for (const name of names) {
      const total = typeTotal(name)
      if (!total) continue
      total.total += BigInt(sum.quantities[name] ?? 0)
      total.cost += BigInt(sum.costs[name] ?? 0)
    }
    return [...types]
      .filter(([, { total, cost }]) => total !== 0n || cost !== 0n)
      .map(([type, { total, cost }]) => ({
        project_id: projectId,
        provider: sum.provider,
        model: sum.model,
        ...(sum.simulated ? { served_by: 'simulator' } : {}),
        type,
        total: exactInteger(total),
        price: exactUsd(cost),
        cost_nano_usd: cost.toString(),
        ...(sum.start === undefined ? {} : { start: new Date(sum.start * 1000).toISOString() }),
      }))
  })
}
