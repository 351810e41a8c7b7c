import { type Quantities, totalOutputTokens } from '@sluice/contracts'
import { estimateTokens } from '../estimate.ts'
import { defined, isObject, listOf, nameOf, objectOf } from '../json-fields.ts'
import { addQuantities, measuredAs, type UsageResult } from '../usage-result.ts'
import { tokenQuantities } from './token-usage.ts'

/** What the request asked for, where the reply does not say what was made. */
export interface ImageRequest {
  size?: string | undefined
  quality?: string | undefined
}

/** Tokens of an image that is given to a model, where nobody tells: one tile of the smallest detail. */
const tokensPerInputImage = 323

/** What a request for images is charged for, as far as it tells: images where they are sold by the piece, else its input. */
export function imageInput(request: {
  images: number
  promptBytes: number
  inputImages: number
  /** Of the price: images are sold by the piece or by the token. */
  perImage: boolean
}): Quantities {
  if (request.perImage) return { images: request.images }
  return { in_text: estimateTokens(request.promptBytes), in_image: request.inputImages * tokensPerInputImage }
}

/**
 * Usage of an images reply, or of its `*.completed` event: tokens where they are told, else the number of images.
 * @param input of {@link imageInput}: without images in it they are sold by the token, and estimated where nothing is told
 */
export function fromImages(body: unknown, request: ImageRequest = {}, input: Quantities = { images: 0 }): UsageResult {
  const reply = objectOf(body)
  const modifiers = imageModifiers({ size: nameOf(reply.size), quality: nameOf(reply.quality) }, request)
  if (!isObject(reply.usage)) {
    const isEvent = 'b64_json' in reply || 'url' in reply
    const images = isEvent ? 1 : listOf(reply.data).length
    if (input.images === undefined) return estimateImages(input, images, modifiers)
    return { ...measuredAs({ images }, 'measured'), modifiers, raw_usage: null }
  }
  const quantities = tokenQuantities(reply.usage)
  const details = objectOf(reply.usage.output_tokens_details)
  // Without a split, everything these models put out is image.
  const split = 'image_tokens' in details || 'text_tokens' in details
  const output = split ? {} : { out_text: 0, out_image: totalOutputTokens(quantities) }
  const made = { ...quantities, ...output }
  const drawing = drawingOf(reply.svg_usage)
  if (!drawing) return { ...measuredAs(made, 'measured'), modifiers, raw_usage: reply.usage }
  return {
    ...measuredAs(addQuantities(made, drawing.quantities), 'measured'),
    modifiers,
    parts: [drawing],
    raw_usage: { usage: reply.usage, svg_usage: reply.svg_usage },
  }
}

/** A drawing is written by a model of its own, which the reply names. */
function drawingOf(usage: unknown): { model: string; quantities: Quantities } | undefined {
  const model = nameOf(objectOf(usage).model)
  if (model === undefined) return undefined
  const { quantities } = measuredAs(tokenQuantities(usage), 'measured')
  return { model, quantities }
}

/** Size and quality as the reply names them, else as they were asked for; `auto` says nothing. */
export function imageModifiers(made: ImageRequest, asked: ImageRequest): UsageResult['modifiers'] {
  return defined({
    image_size: known(made.size) ?? known(asked.size) ?? '1024x1024',
    image_quality: known(made.quality) ?? known(asked.quality),
  })
}

function known(value: string | undefined): string | undefined {
  return value === undefined || value === 'auto' ? undefined : value
}

/** Output tokens of one image by quality: square, upright, lying. */
const imageTokens: Record<string, readonly [number, number, number]> = {
  low: [272, 408, 400],
  medium: [1056, 1584, 1568],
  high: [4160, 6240, 6208],
}
/** What each partial image adds. */
const tokensPerPartialImage = 100

/**
 * Output tokens of an image that was not finished. An estimate: mark it so. It was somewhere between the last partial image
 * that came and the next one, or the finished one: half-way is taken, and each partial image on top.
 */
export function unfinishedImageTokens(of: {
  /** Images to be made. */
  images: number
  modifiers: UsageResult['modifiers']
  /** Partial images that came, and that were asked for. */
  seen: number
  asked: number
}): number {
  const { images, modifiers, seen, asked } = of
  if (images === 0) return 0
  const steps = Math.max(asked, seen) + 1
  return Math.ceil((images * wholeImageTokens(modifiers) * (2 * seen + 1)) / (2 * steps)) + seen * tokensPerPartialImage
}

/**
 * Usage of images that are sold by the token and of which nothing was seen, where nobody knows how far they had come: half of
 * what they would have been. An estimate, and marked so. @param input of {@link imageInput}
 */
export function estimateUnseenImages(
  input: Quantities,
  images: number,
  modifiers: UsageResult['modifiers'],
): UsageResult {
  const output = { out_image: unfinishedImageTokens({ images, modifiers, seen: 0, asked: 0 }) }
  return { ...measuredAs({ ...input, ...output }, 'estimated'), modifiers, raw_usage: null }
}

/** Usage of images that are sold by the token and of which nothing is told. @param input of {@link imageInput} */
export function estimateImages(input: Quantities, images: number, modifiers: UsageResult['modifiers']): UsageResult {
  const output = { out_image: images * wholeImageTokens(modifiers) }
  return { ...measuredAs({ ...input, ...output }, 'estimated'), modifiers, raw_usage: null }
}

function wholeImageTokens(modifiers: UsageResult['modifiers']): number {
  const [square, upright, lying] = imageTokens[modifiers.image_quality ?? 'medium'] ?? [1056, 1584, 1568]
  const [width = 1, height = 1] = (modifiers.image_size ?? '').split('x').map(Number)
  return width === height ? square : width < height ? upright : lying
}
