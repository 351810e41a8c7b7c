import type { Quantities } from '@sluice/contracts'
import { estimateTokens } from '../estimate.ts'
import { isObject, nameOf, objectOf } from '../json-fields.ts'
import { addQuantities, type UsageResult } from '../usage-result.ts'
import { bytesPerMs, heardTokens } from './realtime-audio.ts'

/** What a turn brings along that is for it alone. */
export interface OwnPrompt {
  /** Of instructions in place of the session's. */
  instructionBytes?: number
  /** Items in place of the conversation, or beside it where they name some of its own. */
  input?: { textBytes: number; audioBytes: number; namesItems: boolean }
  /** What is said in it does not become part of the conversation. */
  isApart?: boolean
}

/**
 * What both sides of a realtime session have said about it, as far as metering needs it: models, formats, and what the next
 * turn will be charged for. Each turn is charged for the whole conversation again; what the last one was charged for is
 * known, and what has come since is counted.
 */
export class RealtimeSession {
  /** As the provider names it. */
  model: string | undefined
  /** Of the model that writes down what was heard, where the session has one. */
  transcriptionModel: string | undefined
  inputBytesPerMs = bytesPerMs(undefined)
  outputBytesPerMs = bytesPerMs(undefined)
  /** Whether the provider begins turns by itself. It does unless it was told otherwise. */
  startsTurns = true
  #lastTurn: Quantities = {}
  #instructionBytes = 0
  /** Of the instructions that the last turn was charged for. */
  #chargedInstructionBytes = 0
  #newTextBytes = 0
  #newAudioMs = 0
  #bufferBytes = 0

  /** Takes the session object of `session.created`, `session.updated` or `session.update`. */
  configure(body: unknown): void {
    const session = objectOf(body)
    this.model = nameOf(session.model) ?? this.model
    const input = objectOf(objectOf(session.audio).input)
    const transcription = input.transcription !== undefined ? input.transcription : session.input_audio_transcription
    if (transcription === null) this.transcriptionModel = undefined
    else if (isObject(transcription)) this.transcriptionModel = nameOf(transcription.model) ?? this.transcriptionModel
    const inputFormat = input.format ?? session.input_audio_format
    const outputFormat = objectOf(objectOf(session.audio).output).format ?? session.output_audio_format
    if (inputFormat !== undefined) this.inputBytesPerMs = bytesPerMs(inputFormat)
    if (outputFormat !== undefined) this.outputBytesPerMs = bytesPerMs(outputFormat)
    const detection = input.turn_detection !== undefined ? input.turn_detection : session.turn_detection
    if (detection === null) this.startsTurns = false
    else if (isObject(detection)) this.startsTurns = detection.create_response !== false
    if (typeof session.instructions === 'string') this.#instructionBytes = Buffer.byteLength(session.instructions)
  }

  /** The client has added this many bytes of sound to the buffer. */
  hear(bytes: number): void {
    this.#bufferBytes += bytes
  }

  clearBuffer(): void {
    this.#bufferBytes = 0
  }

  /** The buffer has become part of the conversation. @returns its length in milliseconds */
  commitBuffer(): number {
    const ms = Math.ceil(this.#bufferBytes / this.inputBytesPerMs)
    this.#bufferBytes = 0
    this.#newAudioMs += ms
    return ms
  }

  /** An item was added: bytes of its JSON that are text, and bytes of sound in it. */
  addItem(textBytes: number, audioBytes: number): void {
    this.#newTextBytes += textBytes
    this.#newAudioMs += Math.ceil(audioBytes / this.inputBytesPerMs)
  }

  /** A turn has ended and its usage was told: the next one is charged for it again, and for what was said in it. */
  endTurn(usage: UsageResult, own: OwnPrompt = {}): void {
    if (usage.raw_usage === null) return
    const {
      out_text = 0,
      out_audio = 0,
      out_reasoning = 0,
      out_image: _,
      pred_accepted: __,
      pred_rejected: ___,
      ...input
    } = usage.quantities
    const said = own.isApart ? {} : { in_text: Math.max(0, out_text - out_reasoning), in_audio: out_audio }
    // What it heard was not the conversation, but what it said may be.
    if (own.input) {
      addQuantities(this.#lastTurn, said)
      return
    }
    this.#lastTurn = addQuantities({ ...input }, said)
    this.#chargedInstructionBytes = own.instructionBytes ?? this.#instructionBytes
    this.#newTextBytes = 0
    this.#newAudioMs = 0
  }

  /** What the next turn's input amounts to. An estimate. */
  estimateInput(own: OwnPrompt = {}): Quantities {
    const { textBytes = 0, audioBytes = 0 } = own.input ?? {}
    const audioMs = Math.ceil(audioBytes / this.inputBytesPerMs)
    const promptBytes = (own.instructionBytes ?? this.#instructionBytes) + textBytes
    if (own.input && !own.input.namesItems)
      return addQuantities({}, { in_text: estimateTokens(promptBytes), in_audio: heardTokens(audioMs) })
    const { in_text: before = 0, ...others } = this.#lastTurn
    // Its instructions stand where the last one's stood.
    const newText = estimateTokens(this.#newTextBytes + promptBytes) - estimateTokens(this.#chargedInstructionBytes)
    return addQuantities(others, {
      in_text: Math.max(0, before + newText),
      in_audio: heardTokens(this.#newAudioMs + audioMs),
    })
  }
}

/** The models that a session object names for writing down what is heard, in its new and its old form. */
export function transcriptionModelsOf(session: unknown): string[] {
  const { audio, input_audio_transcription } = objectOf(session)
  const places = [objectOf(objectOf(objectOf(audio).input).transcription), objectOf(input_audio_transcription)]
  return places.map(place => nameOf(place.model)).filter(model => model !== undefined)
}
