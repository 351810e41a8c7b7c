import { asList, asObject, asText, type JsonObject } from '../json.ts'
import { countTokens } from '../tokens.ts'
import { NOTHING_SAID, type RealtimeMetered } from './realtime-prices.ts'

const tokensPerImage = 85
const bytesPerMsOfPcm = 48
const bytesPerMsOfTelephone = 8

/** What a realtime conversation holds, and what a turn is charged for it: everything again, the last turn's from the cache. */
export class Conversation {
  instructions = ''
  inputBytesPerMs = bytesPerMsOfPcm
  /** Of the last user message that has any. */
  userText = ''
  #text = 0
  #audio = 0
  #images = 0
  #cached = { text: 0, audio: 0, images: 0 }

  setFormat(format: unknown): void {
    const name = asText(asObject(format).type) ?? asText(format) ?? ''
    this.inputBytesPerMs = /pcmu|pcma|g711/.test(name) ? bytesPerMsOfTelephone : bytesPerMsOfPcm
  }

  addItem(item: JsonObject): void {
    for (const entry of asList(item.content)) {
      const part = asObject(entry)
      const text = asText(part.text)
      const audio = asText(part.audio)
      if (text !== undefined) {
        this.#text += countTokens(text)
        if (item.role === 'user') this.userText = text
      } else if (audio !== undefined) this.addAudio(this.msOf(audio))
      else if (asText(part.type) === 'input_image') this.#images += tokensPerImage
    }
    const output = asText(item.output) ?? asText(item.arguments)
    if (output !== undefined) this.#text += countTokens(output)
  }

  /** These items and nothing else of it. */
  apart(items: readonly unknown[]): Conversation {
    const own = new Conversation()
    own.instructions = this.instructions
    own.inputBytesPerMs = this.inputBytesPerMs
    for (const item of items) own.addItem(asObject(item))
    return own
  }

  /** Ten tokens a second. */
  addAudio(ms: number): void {
    this.#audio += Math.ceil(ms / 100)
  }

  msOf(base64: string): number {
    return Math.ceil(Buffer.from(base64, 'base64').length / this.inputBytesPerMs)
  }

  /** The input side of a turn that begins now. */
  beginTurn(instructions: string): RealtimeMetered {
    const text = this.#text + countTokens(instructions === '' ? this.instructions : instructions)
    const cached = this.#cached
    this.#cached = { text, audio: this.#audio, images: this.#images }
    return {
      ...NOTHING_SAID,
      text_fresh: text - Math.min(text, cached.text),
      text_from_cache: Math.min(text, cached.text),
      audio_fresh: this.#audio - cached.audio,
      audio_from_cache: cached.audio,
      image_fresh: this.#images - cached.images,
      image_from_cache: cached.images,
    }
  }

  /** What was said becomes part of the conversation. */
  endTurn(textTokens: number, audioTokens: number): void {
    this.#text += textTokens
    this.#audio += audioTokens
  }
}
