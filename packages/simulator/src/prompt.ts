import { asList, asObject, asText, isObject, type JsonObject } from './json.ts'
import { measureSound } from './media/sound.ts'
import { ProviderError } from './provider-error.ts'
import { countTokens } from './tokens.ts'

/** What a request says, reduced to what the simulator needs of it. */
export interface Prompt {
  readonly tokens: number
  /** Tokens of the sound in it, which are in no other number. */
  readonly heard: number
  /** Tokens before the last `cache_control` mark of an hour, and between it and the last one of five minutes. */
  readonly marked1h: number
  readonly marked5m: number
  /** All text of the last user message that has any. */
  readonly userText: string
  /** Answers of tools that follow that message: the model has what it asked for so often. */
  readonly toolAnswers: number
}

const TOKENS_PER_MESSAGE = 4
const TOKENS_PER_MEDIA = 85
/** Ten tokens are a second heard. */
const HEARD_MS_PER_TOKEN = 100

/** Counts a prompt part by part, in the order the model would read it. */
export class PromptTally {
  #tokens = 0
  #heard = 0
  #mark1h = 0
  #mark5m = 0
  #userText = ''
  #toolAnswers = 0

  addText(text: string | undefined): void {
    if (text !== undefined) this.#tokens += countTokens(text)
  }

  /** Anything that is not text counts by its JSON, without a cache mark on it. */
  addJson(value: unknown): void {
    if (value === undefined || value === null) return
    const plain = isObject(value) && 'cache_control' in value ? { ...value, cache_control: undefined } : value
    this.#tokens += countTokens(JSON.stringify(plain))
    this.#mark(value)
  }

  addMessage(role: string | undefined, content: unknown): void {
    this.#tokens += TOKENS_PER_MESSAGE
    const texts: string[] = []
    if (typeof content === 'string') {
      this.addText(content)
      texts.push(content)
    }
    for (const part of asList(content)) {
      const text = this.addPart(asObject(part))
      if (text !== undefined) texts.push(text)
    }
    if (role === 'user' && texts.length > 0) {
      this.#userText = texts.join('\n')
      this.#toolAnswers = 0
    }
  }

  /** Counts one part of a message; gives its text if the user wrote it. */
  addPart(part: JsonObject): string | undefined {
    const type = asText(part.type) ?? ''
    const text = type === 'tool_result' ? undefined : asText(part.text)
    if (text !== undefined) this.addText(text)
    else if (type === 'input_audio') this.#heard += countHeard(asObject(part.input_audio))
    else if (type.includes('image') || type.includes('audio')) this.#tokens += TOKENS_PER_MEDIA
    else this.addJson(part)
    if (type === 'tool_result') this.toolAnswered()
    else if (text !== undefined) this.#mark(part)
    return text
  }

  toolAnswered(): void {
    this.#toolAnswers += 1
  }

  total(): Prompt {
    return {
      tokens: this.#tokens,
      heard: this.#heard,
      marked1h: this.#mark1h,
      marked5m: Math.max(0, this.#mark5m - this.#mark1h),
      userText: this.#userText,
      toolAnswers: this.#toolAnswers,
    }
  }

  #mark(part: unknown): void {
    const control = asObject(part).cache_control
    if (!isObject(control)) return
    if (control.ttl === '1h') this.#mark1h = this.#tokens
    else this.#mark5m = this.#tokens
  }
}

function countHeard({ data }: JsonObject): number {
  const milliseconds = measureSound(Buffer.from(asText(data) ?? '', 'base64'))
  if (milliseconds === undefined)
    throw new ProviderError(400, 'invalid_request_error', 'The sound in the request is neither WAV nor MP3.')
  return Math.ceil(milliseconds / HEARD_MS_PER_TOKEN)
}
