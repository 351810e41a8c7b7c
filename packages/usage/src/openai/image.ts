import { totalOutputTokens } from '@sluice/contracts'
import { defined, isObject, listOf, nameOf, objectOf } from '../json-fields.ts'
import { measuredAs, type UsageResult } from '../usage-result.ts'
import { tokenQuantities } from './token-usage.ts'

/** What the request asked for, where the reply does not say what was made. */
export interface ImageRequest {
  size?: string
  quality?: string
}

/** Usage of an images reply, or of its `*.completed` event: tokens where they are told, else the number of images. */
export function fromImages(body: unknown, request: ImageRequest = {}): UsageResult {
  const reply = objectOf(body)
  const size = known(nameOf(reply.size)) ?? known(request.size) ?? '1024x1024'
  const quality = known(nameOf(reply.quality)) ?? known(request.quality)
  const modifiers = defined({ image_size: size, image_quality: quality })
  if (!isObject(reply.usage))
    return {
      ...measuredAs({ images: listOf(reply.data).length }, 'measured'),
      modifiers,
      raw_usage: null,
    }
  const quantities = tokenQuantities(reply.usage)
  const details = objectOf(reply.usage.output_tokens_details)
  // Without a split, everything these models put out is image.
  const split = 'image_tokens' in details || 'text_tokens' in details
  const output = split ? {} : { out_text: 0, out_image: totalOutputTokens(quantities) }
  return { ...measuredAs({ ...quantities, ...output }, 'measured'), modifiers, raw_usage: reply.usage }
}

function known(value: string | undefined): string | undefined {
  return value === undefined || value === 'auto' ? undefined : value
}
