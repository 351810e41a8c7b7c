import type { Quantities } from '@sluice/contracts'
import { defined, isObject, listOf, nameOf, objectOf, textOf } from '../json-fields.ts'
import { measuredAs, type UsageResult } from '../usage-result.ts'
import { servedTier } from './chat-completion.ts'
import { tokenQuantities } from './token-usage.ts'

/** Usage of a Responses object, whatever its status; also of a `response.compaction`. */
export function fromResponse(body: unknown): UsageResult {
  const reply = objectOf(body)
  const quantities: Quantities = isObject(reply.usage) ? tokenQuantities(reply.usage) : {}
  return {
    ...measuredAs({ ...quantities, ...toolQuantities(listOf(reply.output)) }, 'measured'),
    modifiers: servedTier(reply),
    raw_usage: reply.usage ?? null,
    ...defined({
      served_model: nameOf(reply.model),
      response_id: nameOf(reply.id),
      finish_reason: nameOf(objectOf(reply.incomplete_details).reason) ?? nameOf(reply.status),
    }),
  }
}

/** Output items that are charged apart from tokens. */
export function toolQuantities(output: readonly unknown[]): Quantities {
  let searches = 0
  let fileSearches = 0
  let others = 0
  const containers = new Set<string>()
  for (const entry of output) {
    const item = objectOf(entry)
    switch (item.type) {
      case 'web_search_call': {
        // Opening a page or searching in it belongs to the search that found it.
        const action = textOf(objectOf(item.action).type)
        if (action === undefined || action === 'search') searches += 1
        break
      }
      case 'file_search_call':
        fileSearches += 1
        break
      case 'code_interpreter_call':
        containers.add(textOf(item.container_id) ?? textOf(item.id) ?? '')
        break
      case 'image_generation_call':
        // The image model's tokens are not in the reply: counted, so that the call shows as not fully priced.
        others += 1
        break
    }
  }
  return {
    web_search_calls: searches,
    file_search_calls: fileSearches,
    code_container_sessions: containers.size,
    other_tool_calls: others,
  }
}
