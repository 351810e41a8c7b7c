import {
  estimateImages,
  estimateUnseenImages,
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
    return usageOf(facts, sieve.value(), { bytes: facts.wholeBytes, isWhole: facts.isWhole })
  },
  openStream({ asked, media }) {
    const { partialImages = 0, imagesByToken = 0 } = media ?? {}
    const tap = openImagesTap({ input: asked?.quantities ?? {}, ...sizeOf(asked), partialImages, imagesByToken })
    return { tap, end: endMedia }
  },
  openBody(facts) {
    const sieve = new JsonSieve()
    let bytes = 0
    return {
      write(chunk) {
        bytes += chunk.length
        sieve.write(chunk)
      },
      usage: isWhole => usageOf(facts, sieve.value(), { bytes, isWhole }),
    }
  },
}

/** @param reply without its images; undefined where it broke off or is none */
function usageOf({ asked, media }: ReplyFacts, reply: unknown, came: { bytes: number; isWhole: boolean }): UsageResult {
  const input = asked?.quantities ?? {}
  if (reply !== undefined) return fromImages(reply, sizeOf(asked), input)
  const images = came.isWhole ? 0 : (media?.imagesByToken ?? 0)
  // What is being sent has been made.
  const estimate = came.bytes > 0 ? estimateImages : estimateUnseenImages
  return estimate(input, images, asked?.modifiers ?? {})
}

function sizeOf(asked: AskedUsage | undefined): ImageRequest {
  return { size: asked?.modifiers.image_size, quality: asked?.modifiers.image_quality }
}
