import type { Provenance, Quantities, QuantityName } from '@sluice/contracts'
import { type JsonObject, nameOf } from '../json-fields.ts'
import type { StreamTap } from '../stream-tap.ts'
import { addQuantities, freeUsage, measuredAs, type UsageResult } from '../usage-result.ts'
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

/** Watches the stream of images that are generated or edited. */
export function openImagesTap(options: ImagesTapOptions): StreamTap {
  return new ImagesTap(options)
}

class ImagesTap extends TypedEventTap {
  readonly #options: ImagesTapOptions
  /** Each with the usage of its own image; as many as were asked for at most, so that one told again is not another. */
  readonly #completed: JsonObject[] = []
  #made: ImageRequest = {}
  /** By index, so that one that comes twice counts once. */
  readonly #partial = new Set<unknown>()

  constructor(options: ImagesTapOptions) {
    super()
    this.#options = options
  }

  get measured(): boolean {
    return this.#completed.length > 0
  }

  protected onEvent(type: string, event: JsonObject): void {
    if (type.endsWith('.partial_image')) {
      if (this.#partial.size < 64) this.#partial.add(event.partial_image_index)
      this.#made = { size: nameOf(event.size), quality: nameOf(event.quality) }
    } else if (type === 'image_generation.completed' || type === 'image_edit.completed') {
      const { input, imagesByToken } = this.#options
      if (this.#completed.length === Math.max(1, imagesByToken ?? 0, input.images ?? 0)) this.#completed.pop()
      this.#completed.push(event)
      this.ended = true
    }
  }

  usage(): UsageResult {
    if (this.measured) return this.#usageOfCompleted()
    const seen = this.#partial.size
    const { input, partialImages, imagesByToken: images = 0 } = this.#options
    if (seen === 0 && this.failed) return freeUsage()
    const modifiers = imageModifiers(this.#made, this.#options)
    const output = { out_image: unfinishedImageTokens({ images, modifiers, seen, asked: partialImages }) }
    return { ...measuredAs({ ...input, ...output }, 'estimated'), modifiers, raw_usage: null }
  }

  #usageOfCompleted(): UsageResult {
    const { input } = this.#options
    // Where nothing is told, what the request itself costs counts once.
    const later = input.images === undefined ? {} : input
    return sumOf(this.#completed.map((event, at) => fromImages(event, this.#options, at === 0 ? input : later)))
  }
}

/** What several images took together. */
function sumOf(usages: readonly UsageResult[]): UsageResult {
  const [first = freeUsage(), ...more] = usages
  if (more.length === 0) return first
  const quantities: Quantities = {}
  const provenance: UsageResult['provenance'] = {}
  for (const usage of usages) {
    addQuantities(quantities, usage.quantities)
    for (const [name, mark] of Object.entries(usage.provenance) as [QuantityName, Provenance][])
      if (provenance[name] !== 'estimated') provenance[name] = mark
  }
  const parts = usages.flatMap(usage => usage.parts ?? [])
  const told = usages.map(usage => usage.raw_usage).filter(raw => raw !== null)
  return {
    ...first,
    quantities,
    provenance,
    ...(parts.length > 0 && { parts }),
    raw_usage: told.length === 0 ? null : told,
  }
}
