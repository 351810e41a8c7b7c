import type { Call } from '../call.ts'
import type { Directives } from '../directives.ts'
import { type Frame, namedEvent } from '../frames.ts'
import { readOrders } from '../generation.ts'
import { asList, asObject, asText, type JsonObject } from '../json.ts'
import { Pace } from '../pace.ts'
import { playStream } from '../play-stream.ts'
import { playWhole } from '../play-whole.ts'
import { errorOfStatus } from '../provider-error.ts'
import { countTokens } from '../tokens.ts'
import { readForm } from './form.ts'
import { readMediaModel } from './media-model.ts'
import { NOTHING_MADE } from './media-prices.ts'
import { MediaProduction, type MediaScript } from './media-production.ts'
import { mediaTrouble, reportMedia } from './media-report.ts'
import { makePicture } from './picture.ts'

/** What a request for images says, whatever its body. */
interface Asked {
  readonly kind: 'image_generation' | 'image_edit' | 'image_variation'
  readonly text: (name: string) => string | undefined
  readonly pictures: number
}

/** `POST /v1/images/generations` */
export function createImages(call: Call): Promise<void> {
  return draw(call, { kind: 'image_generation', text: membersOf(call.body), pictures: 0 })
}

/** `POST /v1/images/edits`: a form with its images, or JSON with links to them. */
export async function editImages(call: Call): Promise<void> {
  if (call.headers['content-type']?.startsWith('application/json')) {
    const body = asObject(JSON.parse(call.bytes.toString()))
    return draw(call, { kind: 'image_edit', text: membersOf(body), pictures: asList(body.images).length })
  }
  const form = readForm(call)
  const pictures = form.files.filter(({ name }) => name.startsWith('image')).length
  if (pictures === 0) throw errorOfStatus('openai', 400, 'The request has no image.')
  await draw(call, { kind: 'image_edit', text: form.text, pictures })
}

function membersOf(body: JsonObject): Asked['text'] {
  return name => {
    const value = body[name]
    return typeof value === 'number' || typeof value === 'boolean' ? String(value) : asText(value)
  }
}

/** `POST /v1/images/variations` */
export async function createImageVariation(call: Call): Promise<void> {
  const form = readForm(call)
  if (form.files.length !== 1) throw errorOfStatus('openai', 400, 'The request needs one image.')
  await draw(call, { kind: 'image_variation', text: form.text, pictures: 1 })
}

/** Tokens of an image that is looked at, and of one that is made: square, upright, lying. */
const TOKENS_SEEN = 323
const TOKENS_MADE: { readonly [quality: string]: readonly [number, number, number] } = {
  low: [272, 408, 400],
  medium: [1_056, 1_584, 1_568],
  high: [4_160, 6_240, 6_208],
}
const TOKENS_OF_PARTIAL = 100
/** Steps in which an image comes about, each with its part of the tokens. */
const STEPS = 8

async function draw(call: Call, asked: Asked): Promise<void> {
  const { model, price } = readMediaModel(call, asked.text('model'), 'image')
  const prompt = asked.text('prompt') ?? ''
  if (prompt === '' && asked.kind !== 'image_variation')
    throw errorOfStatus('openai', 400, 'The request has no prompt.')
  const directives = readOrders(call, { userText: prompt })
  const count = Number(asked.text('n') ?? 1)
  if (!Number.isInteger(count) || count < 1 || count > 10) throw errorOfStatus('openai', 400, 'n is from 1 to 10.')
  const size = told(asked.text('size')) ?? '1024x1024'
  if (!/^[1-9]\d{1,3}x[1-9]\d{1,3}$/.test(size)) throw errorOfStatus('openai', 400, `There is no size ${size}.`)
  const quality = told(asked.text('quality')) ?? (price.tokens === undefined ? 'standard' : 'medium')
  const streamed = asked.text('stream') === 'true' && price.tokens !== undefined
  const partial = streamed ? Math.min(3, Number(asked.text('partial_images') ?? 0)) : 0

  const script: MediaScript = {
    model,
    price,
    metered: {
      ...NOTHING_MADE,
      text_input: directives.number('input_tokens') ?? countTokens(prompt),
      image_input: asked.pictures * TOKENS_SEEN,
      image_output: tokensMade(quality, size, directives) * count + partial * TOKENS_OF_PARTIAL,
      images: count,
    },
    product: 'image_output',
    quality,
    size,
  }
  const drawing: Drawing = { asked, script, count, partial, directives }
  const production = new MediaProduction(call, script, streamed)
  const pace = new Pace(directives)
  const frames = toEvents(drawing)
  if (streamed) await playStream({ call, directives, production, pace, frames, trouble: mediaTrouble(directives) })
  else await playWhole({ call, directives, production, pace, frames, answer: toAnswer(drawing) })
}

interface Drawing {
  readonly asked: Asked
  readonly script: MediaScript
  readonly count: number
  readonly partial: number
  readonly directives: Directives
}

function told(value: string | undefined): string | undefined {
  return value === undefined || value === 'auto' ? undefined : value
}

function tokensMade(quality: string, size: string, directives: Directives): number {
  const [square, upright, lying] = TOKENS_MADE[quality] ?? [1_056, 1_584, 1_568]
  const [width = 0, height = 0] = size.split('x').map(Number)
  return directives.number('output_tokens') ?? (width === height ? square : width < height ? upright : lying)
}

function usageOf({ script, directives }: Drawing): object | undefined {
  const { metered } = script
  return reportMedia(directives, {
    input_tokens: metered.text_input + metered.image_input,
    input_tokens_details: { text_tokens: metered.text_input, image_tokens: metered.image_input },
    output_tokens: metered.image_output,
  })
}

function toAnswer(drawing: Drawing): object {
  const { asked, script, count } = drawing
  const pictures = Array.from({ length: count }, (_, index) => {
    const bytes = makePicture(script.size, index + 1).toString('base64')
    return asked.text('response_format') === 'url'
      ? { url: `https://simulator.invalid/picture-${index}.png` }
      : { b64_json: bytes }
  })
  const created = Math.floor(Date.now() / 1000)
  // Models that are sold by the image tell neither usage nor what they made.
  if (script.price.tokens === undefined) return { created, data: pictures }
  const usage = usageOf(drawing)
  return {
    created,
    background: 'opaque',
    data: pictures,
    output_format: 'png',
    quality: script.quality,
    size: script.size,
    ...(usage && { usage }),
  }
}

function* toEvents(drawing: Drawing): Generator<Frame> {
  const { asked, script, partial } = drawing
  const total = script.metered.image_output - partial * TOKENS_OF_PARTIAL
  const about = {
    created_at: Math.floor(Date.now() / 1000),
    size: script.size,
    quality: script.quality,
    background: 'opaque',
    output_format: 'png',
  }
  let shown = 0
  for (let step = 1; step <= STEPS; step += 1) {
    const tokens = Math.floor((total * step) / STEPS) - Math.floor((total * (step - 1)) / STEPS)
    yield { sse: '', tokens }
    if (step < STEPS && shown < partial && step * (partial + 1) >= STEPS * (shown + 1)) {
      const type = `${asked.kind}.partial_image`
      const b64_json = makePicture(script.size, step).toString('base64')
      const data = JSON.stringify({ type, b64_json, ...about, partial_image_index: shown })
      yield { sse: namedEvent(type, data), tokens: TOKENS_OF_PARTIAL }
      shown += 1
    }
  }
  const type = `${asked.kind}.completed`
  const usage = usageOf(drawing)
  const b64_json = makePicture(script.size, STEPS).toString('base64')
  const data = JSON.stringify({ type, b64_json, ...about, ...(usage && { usage }) })
  yield { sse: namedEvent(type, data), tokens: 0, closing: true }
}
