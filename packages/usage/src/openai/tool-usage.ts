import type { Quantities } from '@sluice/contracts'
import { countOf, isObject, type JsonObject, listOf, nameOf, objectOf, textOf } from '../json-fields.ts'
import { measuredAs, type UsageResult } from '../usage-result.ts'
import { tokenQuantities } from './token-usage.ts'

/** The image model of the tool where the reply does not name it (platform.openai.com/docs/api-reference/responses/create). */
const defaultImageModel = 'gpt-image-2.6-sunburst'

/**
 * Output items that are charged apart from tokens. Searches as the reply sums them up, where it does: only there it says
 * which of them are charged. Containers are counted once each, however often a call ran in them.
 */
export function toolQuantities(
  output: readonly unknown[],
  reply: { tool_usage?: unknown; tools?: unknown },
): Quantities {
  let searches = 0
  let fileSearches = 0
  let images = 0
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
      case 'image_generation_call':
        images += 1
        break
    }
  }
  const told = objectOf(reply.tool_usage)
  const containers = containersIn(output, reply.tools)
  return {
    web_search_calls: isObject(told.web_search) ? countOf(told.web_search.num_requests) : searches,
    file_search_calls: fileSearches,
    code_container_sessions: containers.length,
    code_container_gb_minutes: containers.reduce((sum, { gb }) => sum + gb * minimumContainerMinutes, 0),
    // Images whose tokens are not told have no price: counted, so that the call shows as not fully priced.
    other_tool_calls: totalTokens(told.image_gen) > 0 ? 0 : images,
  }
}

/** A container is charged for at least so long. */
export const minimumContainerMinutes = 5

/** A container that code ran in, and its memory. */
export interface UsedContainer {
  id: string
  gb: number
}

/** Containers that code ran in, once each: by their ids, or where that is not told by that of the call. */
export function containersIn(output: readonly unknown[], tools: unknown): UsedContainer[] {
  const containers = new Map<string, UsedContainer>()
  for (const entry of output) {
    const item = objectOf(entry)
    const id =
      item.type === 'code_interpreter_call'
        ? (textOf(item.container_id) ?? textOf(item.id) ?? '')
        : item.type === 'shell_call'
          ? // A shell of the client's own is not charged.
            (textOf(item.container_id) ?? textOf(objectOf(item.environment).container_id))
          : undefined
    if (id !== undefined)
      containers.set(id, { id, gb: memoryOf(item.type === 'shell_call' ? 'shell' : codeTool, tools) })
  }
  return [...containers.values()]
}

const codeTool = 'code_interpreter'

/** What the tool's containers are made with; without a word of it, one gigabyte. */
function memoryOf(type: string, tools: unknown): number {
  const tool = listOf(tools)
    .map(objectOf)
    .find(candidate => candidate.type === type)
  const made = objectOf(type === codeTool ? tool?.container : tool?.environment)
  const [, gb] = /^(\d{1,3})g$/.exec(textOf(made.memory_limit) ?? '') ?? []
  return Math.max(1, Number(gb ?? 1))
}

/** No reply tells how long a container lives: its minutes are an estimate. */
export function withMinutes(
  counted: Pick<UsageResult, 'quantities' | 'provenance'>,
): Pick<UsageResult, 'quantities' | 'provenance'> {
  if (counted.provenance.code_container_gb_minutes !== undefined)
    counted.provenance.code_container_gb_minutes = 'estimated'
  return counted
}

/** Whether searches are those of the tool's preview. */
export function searchesPreview(tools: unknown): boolean {
  return listOf(tools).some(tool => textOf(objectOf(tool).type)?.startsWith('web_search_preview') === true)
}

/** What the image tool of a Responses reply used: tokens of another model than the reply's. */
export function imageTokens(reply: JsonObject): { model: string; quantities: Quantities } | undefined {
  const usage = objectOf(objectOf(reply.tool_usage).image_gen)
  if (totalTokens(usage) === 0) return undefined
  const tool = listOf(reply.tools)
    .map(objectOf)
    .find(candidate => candidate.type === 'image_generation')
  const details = objectOf(usage.input_tokens_details)
  const cached = objectOf(usage.cached_tokens_details)
  const tokens = tokenQuantities({
    ...usage,
    input_tokens_details: {
      ...details,
      cached_tokens: usage.cached_tokens ?? details.cached_tokens,
      cached_tokens_details: {
        ...objectOf(details.cached_tokens_details),
        ...(cached.cached_image_tokens !== undefined && { image_tokens: cached.cached_image_tokens }),
      },
    },
  })
  // Without a split, everything an image model puts out is image.
  const split = isObject(usage.output_tokens_details)
  const { out_text = 0, out_image = 0 } = tokens
  const output = split ? { out_text, out_image } : { out_text: 0, out_image: out_text + out_image }
  return {
    model: nameOf(tool?.model) ?? defaultImageModel,
    quantities: measuredAs({ ...tokens, ...output }, 'measured').quantities,
  }
}

/** Whether a reply's sum of what tools used says anything. */
export function tellsToolUsage(toolUsage: unknown): boolean {
  const { image_gen, web_search } = objectOf(toolUsage)
  return totalTokens(image_gen) > 0 || countOf(objectOf(web_search).num_requests) > 0
}

function totalTokens(usage: unknown): number {
  const { input_tokens, output_tokens } = objectOf(usage)
  return countOf(input_tokens) + countOf(output_tokens)
}
