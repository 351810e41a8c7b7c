import type { Beside } from '../beside.ts'
import { NO_TOOLS, type ToolsUsed } from '../cost.ts'
import type { Directives } from '../directives.ts'
import type { GeneratingCall } from '../generation.ts'
import { asList, asObject, asText, type JsonObject } from '../json.ts'
import { findMediaModel, type MediaMetered, NOTHING_MADE, priceMedia } from '../media/media-prices.ts'
import { ProviderError } from '../provider-error.ts'

/** An item of the output that a tool at the provider made, with what it is charged for. */
export interface HostedItem {
  readonly item: { readonly id: string; readonly type: string; readonly [member: string]: unknown }
  readonly tools: Partial<ToolsUsed>
  /** So many entries of `beside` are for it. */
  readonly beside: number
}

/** Everything that tools at the provider did for a response. */
export interface HostedWork {
  readonly items: readonly HostedItem[]
  readonly used: ToolsUsed
  readonly beside: readonly Beside[]
  /** What the reply sums up beside its usage; nothing where it made no picture. */
  readonly toolUsage: object | undefined
}

const PICTURE: MediaMetered = { ...NOTHING_MADE, text_input: 23, image_output: 272 }
/** What the tool draws with where it is not told. */
const DEFAULT_IMAGE_MODEL = 'gpt-image-2.6-sunburst'
const CONTAINER_NOT_FOUND = 'Container not found, or it has expired.'

/**
 * The calls of hosted tools that a request orders: `searches`, `pages` (opened after a search, and free), `file_searches`,
 * `code_runs` (all in one container), `pictures`. @throws ProviderError
 */
export function workHosted(
  call: GeneratingCall,
  responseId: string,
  searches: number,
  directives: Directives,
): HostedWork {
  const { body } = call
  const times = (name: 'pages' | 'file_searches' | 'code_runs' | 'pictures') =>
    Array.from({ length: directives.number(name) ?? 0 }, (_, index) => index)
  const items: HostedItem[] = []
  for (let index = 0; index < searches; index += 1)
    items.push({
      item: {
        id: `ws_${responseId}_${index}`,
        type: 'web_search_call',
        status: 'completed',
        action: { type: 'search', query: 'sea', queries: ['sea'] },
      },
      tools: { web_searches: 1 },
      beside: 0,
    })
  for (const index of times('pages'))
    items.push({
      item: {
        id: `wp_${responseId}_${index}`,
        type: 'web_search_call',
        status: 'completed',
        action: { type: 'open_page', url: 'https://example.com/' },
      },
      tools: {},
      beside: 0,
    })
  for (const index of times('file_searches'))
    items.push({
      item: {
        id: `fs_${responseId}_${index}`,
        type: 'file_search_call',
        status: 'completed',
        queries: ['sea'],
        results: null,
      },
      tools: { file_searches: 1 },
      beside: 0,
    })
  const runs = times('code_runs')
  const container = runs.length === 0 ? undefined : useContainer(call, responseId)
  for (const index of runs)
    items.push({
      item: {
        id: `ci_${responseId}_${index}`,
        type: 'code_interpreter_call',
        status: 'completed',
        code: 'print(1)',
        container_id: container?.id,
        outputs: null,
      },
      tools: { container_gb_minutes: index === 0 ? (container?.gbMinutes ?? 0) : 0 },
      beside: 0,
    })
  const pictures = times('pictures')
  for (const index of pictures)
    items.push({
      item: {
        id: `ig_${responseId}_${index}`,
        type: 'image_generation_call',
        status: 'completed',
        result: Buffer.from('simulated picture').toString('base64'),
      },
      tools: {},
      beside: 1,
    })
  return {
    items,
    used: {
      ...NO_TOOLS,
      web_searches: searches,
      file_searches: times('file_searches').length,
      container_gb_minutes: container?.gbMinutes ?? 0,
    },
    beside: pictures.map(() => drawPicture(body)),
    toolUsage: pictures.length === 0 ? undefined : sumUp(pictures.length, searches),
  }
}

function toolOf(body: JsonObject, type: string): JsonObject {
  return asObject(asList(body.tools).find(tool => asObject(tool).type === type))
}

/** The one that is named, else the one that the response before ran in, else a new one. */
function useContainer(call: GeneratingCall, responseId: string): { id: string; gbMinutes: number } {
  const { containers, credentialSha256, body } = call
  const nowMs = Date.now()
  const asked = toolOf(body, 'code_interpreter').container
  const named = asText(asked)
  const before = named ?? containers.ofResponse(asText(body.previous_response_id) ?? '')
  const used = before === undefined ? undefined : containers.use(before, credentialSha256, nowMs)
  if (named !== undefined && used === undefined)
    throw new ProviderError(400, 'invalid_request_error', CONTAINER_NOT_FOUND)
  const memoryGb = Number.parseInt(asText(asObject(asked).memory_limit) ?? '1g', 10)
  const container = used ?? containers.make(credentialSha256, memoryGb, nowMs)
  containers.remember(responseId, container.id)
  return container
}

/** A batch pays half for a picture; tiers are those of text. */
function drawPicture(body: JsonObject): Beside {
  const model = asText(toolOf(body, 'image_generation').model) ?? DEFAULT_IMAGE_MODEL
  const found = findMediaModel(model)
  if (found === undefined) throw new ProviderError(400, 'invalid_request_error', `There is no image model "${model}".`)
  const lines = priceMedia(found.price, PICTURE, { quality: 'low', size: '1024x1024' })
  return {
    lines: ({ tier }) =>
      lines.map(line => ({ ...line, model, nano_usd: tier === 'batch' ? line.nano_usd / 2 : line.nano_usd })),
  }
}

function sumUp(pictures: number, searches: number): object {
  const input = pictures * PICTURE.text_input
  const output = pictures * PICTURE.image_output
  return {
    image_gen: {
      input_tokens: input,
      input_tokens_details: { text_tokens: input, image_tokens: 0 },
      output_tokens: output,
      output_tokens_details: { text_tokens: 0, image_tokens: output },
      total_tokens: input + output,
    },
    web_search: { num_requests: searches },
  }
}
