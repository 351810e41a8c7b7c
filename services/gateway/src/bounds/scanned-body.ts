import type { ScannedObject } from '../scan-json.ts'

/** A request as it came, and what one pass over it has found. */
export interface ScannedBody {
  bytes: Buffer
  object: ScannedObject
}

/** Members of a body by which its bound is told, beside those that every call needs: to be wanted of its scan. */
export const boundMembers = [
  'best_of',
  'cache_control',
  'context_management',
  'inference_geo',
  'max_tokens_to_sample',
  'max_tool_calls',
  'mcp_servers',
  'prediction',
  'speed',
  'system',
  'thinking',
  'truncation',
  'web_search_options',
] as const
