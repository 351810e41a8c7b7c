import type { Quantities } from '@sluice/contracts'
import { type JsonObject, nameOf } from '../json-fields.ts'
import type { StreamTap } from '../stream-tap.ts'
import { freeUsage, measuredAs, type UsageResult } from '../usage-result.ts'
import { fromImages, type ImageRequest, imageModifiers, unfinishedImageTokens } from './image.ts'
import { TypedEventTap } from './typed-event-tap.ts'

export interface ImagesTapOptions extends ImageRequest {
  /** As `imageInput` gives it. */
  input: Quantities
  /** Partial images that were asked for. */
  partialImages: number
  /** Images to be made, where they are sold by the token. Absent: none is. */
  imagesByToken?: number
}

/** Watches the stream of an image that is generated or edited. */
export function openImagesTap(options: ImagesTapOptions): StreamTap {
  return new ImagesTap(options)
}

class ImagesTap extends TypedEventTap {
  readonly #options: ImagesTapOptions
  #completed: JsonObject | undefined
  #made: ImageRequest = {}
  /** By index, so that one that comes twice counts once. */
  readonly #partial = new Set<unknown>()

  constructor(options: ImagesTapOptions) {
    super()
    this.#options = options
  }

  get measured(): boolean {
    return this.#completed !== undefined
  }

  protected onEvent(type: string, event: JsonObject): void {
    if (type.endsWith('.partial_image')) {
      if (this.#partial.size < 64) this.#partial.add(event.partial_image_index)
      this.#made = { size: nameOf(event.size), quality: nameOf(event.quality) }
    } else if (type === 'image_generation.completed' || type === 'image_edit.completed') {
      this.#completed = event
      this.ended = true
    }
  }

  usage(): UsageResult {
    if (this.#completed) return fromImages(this.#completed, this.#options, this.#options.input)
    const seen = this.#partial.size
    const { input, partialImages, imagesByToken: images = 0 } = this.#options
    if (seen === 0 && this.failed) return freeUsage()
    const modifiers = imageModifiers(this.#made, this.#options)
    const output = { out_image: unfinishedImageTokens({ images, modifiers, seen, asked: partialImages }) }
    return { ...measuredAs({ ...input, ...output }, 'estimated'), modifiers, raw_usage: null }
  }
}
