import { base64Bytes, JsonPicker, type PickedMembers, soundMs, spokenTokens, type UsageResult } from '@sluice/usage'

/** In a chat completion nothing but sound is `data`. */
const sound: PickedMembers = { members: {}, says: { inside: 'choices', unless: new Set(), only: 'data' } }

/** Counts the sound in the body of a chat completion as it passes, for one that comes to no usage. */
export class SpokenBody {
  readonly #picker = new JsonPicker(sound)
  readonly #format: string | undefined

  constructor(format: string | undefined) {
    this.#format = format
  }

  write(chunk: Buffer): void {
    this.#picker.write(chunk)
  }

  /** The usage with the sound that has come, where its provider has not told it. */
  addTo(usage: UsageResult): UsageResult {
    const { bytes, beginning } = this.#picker.text
    if (usage.raw_usage !== null) return usage
    const tokens = spokenTokens(soundMs(base64Bytes(bytes), Buffer.from(beginning, 'base64'), this.#format))
    if (tokens === 0) return usage
    return {
      ...usage,
      quantities: { ...usage.quantities, out_audio: tokens },
      provenance: { ...usage.provenance, out_audio: 'estimated' },
    }
  }
}
