import type { Quantities } from '@sluice/contracts'
import { defined, isObject, type JsonObject, listOf, nameOf, objectOf } from '../json-fields.ts'
import type { PickedMembers } from '../json-picker.ts'
import { saidIn } from '../said-text.ts'
import { addQuantities, measuredAs, type UsageResult } from '../usage-result.ts'
import { servedTier } from './chat-completion.ts'
import { tokenQuantities } from './token-usage.ts'
import {
  containersIn,
  imageTokens,
  searchesPreview,
  tellsToolUsage,
  toolQuantities,
  withMinutes,
} from './tool-usage.ts'

/** What {@link fromResponse} reads of a reply. */
export const responseMembers: PickedMembers = {
  members: {
    id: 'whole',
    model: 'whole',
    status: 'whole',
    service_tier: 'whole',
    usage: 'whole',
    tool_usage: 'whole',
    incomplete_details: { members: { reason: 'whole' } },
    tools: {
      members: {
        type: 'whole',
        model: 'whole',
        container: { members: { memory_limit: 'whole' } },
        environment: { members: { memory_limit: 'whole' } },
      },
    },
    output: {
      members: {
        type: 'whole',
        id: 'whole',
        action: { members: { type: 'whole' } },
        container_id: 'whole',
        environment: { members: { container_id: 'whole' } },
      },
    },
  },
  says: saidIn('output'),
}

/** More items than any reply has. */
const maxMadeIds = 1_024

/** Ids that a reply gives to what it made. */
export function madeIdsOf(output: unknown): string[] {
  const ids = new Set<string>()
  for (const entry of listOf(output)) {
    const { id, container_id, environment } = objectOf(entry)
    for (const each of [id, container_id, objectOf(environment).container_id]) {
      const name = nameOf(each)
      if (name !== undefined && ids.size < maxMadeIds) ids.add(name)
    }
  }
  return [...ids]
}

/** Usage of a Responses object, whatever its status; also of a `response.compaction`. */
export function fromResponse(body: unknown): UsageResult {
  const reply = objectOf(body)
  const quantities: Quantities = isObject(reply.usage) ? tokenQuantities(reply.usage) : {}
  const tools = toolQuantities(listOf(reply.output), reply)
  const images = imageTokens(reply)
  const madeIds = madeIdsOf(reply.output)
  if (images) addQuantities(quantities, images.quantities)
  return {
    ...withMinutes(measuredAs({ ...quantities, ...tools }, 'measured')),
    modifiers: { ...servedTier(reply), ...(searchesPreview(reply.tools) && { web_search: 'preview' }) },
    ...(images && { parts: [images] }),
    raw_usage: rawUsage(reply),
    ...(madeIds.length > 0 && { made_ids: madeIds }),
    ...(tools.code_container_sessions && { containers: containersIn(listOf(reply.output), reply.tools) }),
    ...defined({
      served_model: nameOf(reply.model),
      response_id: nameOf(reply.id),
      finish_reason: nameOf(objectOf(reply.incomplete_details).reason) ?? nameOf(reply.status),
    }),
  }
}

/** The usage object as it came; where tools used something, what stands beside it in the reply is kept with it. */
function rawUsage(reply: JsonObject): unknown {
  if (!isObject(reply.usage)) return null
  return tellsToolUsage(reply.tool_usage) ? { ...reply.usage, tool_usage: reply.tool_usage } : reply.usage
}
