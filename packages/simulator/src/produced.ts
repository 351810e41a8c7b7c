import type { Beside } from './beside.ts'
import { type Metered, NO_TOOLS, type ToolsUsed } from './cost.ts'
import type { Frame } from './frames.ts'

/** What an answer is made of when it is whole. */
interface Whole {
  readonly metered: Metered
  readonly beside?: readonly Beside[]
}

/** What has been made of an answer so far. */
export class Produced {
  readonly #whole: Whole
  #output = 0
  #thinking = 0
  #sound = 0
  #tools: ToolsUsed = NO_TOOLS
  #beside = 0

  constructor(whole: Whole) {
    this.#whole = whole
  }

  /** Tokens of text and sound. */
  get output(): number {
    return this.#output + this.#sound
  }

  add(frame: Frame): void {
    this.#output += frame.tokens - (frame.sound ?? 0)
    this.#sound += frame.sound ?? 0
    if (frame.thinking) this.#thinking += frame.tokens
    this.#beside += frame.beside ?? 0
    const { tools } = frame
    if (tools === undefined) return
    const before = this.#tools
    this.#tools = {
      web_searches: before.web_searches + (tools.web_searches ?? 0),
      file_searches: before.file_searches + (tools.file_searches ?? 0),
      container_gb_minutes: before.container_gb_minutes + (tools.container_gb_minutes ?? 0),
    }
  }

  addAll(): void {
    const { metered, beside = [] } = this.#whole
    this.#output = metered.output
    this.#thinking = metered.output_thinking
    this.#sound = metered.audio_output
    this.#tools = metered
    this.#beside = beside.length
  }

  /** The input whole, and of the output what has been made. */
  metered(): Metered {
    const { web_searches, file_searches, container_gb_minutes } = this.#tools
    return {
      ...this.#whole.metered,
      output: this.#output,
      output_thinking: this.#thinking,
      audio_output: this.#sound,
      web_searches,
      file_searches,
      container_gb_minutes,
    }
  }

  beside(): readonly Beside[] {
    return this.#whole.beside?.slice(0, this.#beside) ?? []
  }
}
