import {
  estimateImages,
  fromImages,
  type ImageRequest,
  JsonSieve,
  openImagesTap,
  type UsageResult,
} from '@sluice/usage'
import { endMedia } from '../endings/end-media.ts'
import type { AskedUsage, ReplyFacts, ReplyShape } from './reply-shape.ts'

/** Images: JSON of any size, and events. */
export const images: ReplyShape = {
  read(body, facts) {
    const sieve = new JsonSieve()
    sieve.write(body)
    return usageOf(facts, sieve.value())
  },
  openStream({ asked, media }) {
    const partialImages = media?.partialImages ?? 0
    const tap = openImagesTap({ input: asked?.quantities ?? {}, ...sizeOf(asked), partialImages })
    return { tap, end: endMedia }
  },
  openBody(facts) {
    const sieve = new JsonSieve()
    return { write: chunk => sieve.write(chunk), usage: () => usageOf(facts, sieve.value()) }
  },
}

/** @param reply without its images; undefined where it broke off or is none */
function usageOf({ asked }: ReplyFacts, reply: unknown): UsageResult {
  const input = asked?.quantities ?? {}
  if (reply === undefined) return estimateImages(input, 0, asked?.modifiers ?? {})
  return fromImages(reply, sizeOf(asked), input)
}

function sizeOf(asked: AskedUsage | undefined): ImageRequest {
  return { size: asked?.modifiers.image_size, quality: asked?.modifiers.image_quality }
}
