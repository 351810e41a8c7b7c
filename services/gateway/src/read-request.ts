import type { IncomingMessage } from 'node:http'
import { isPlainText } from '@sluice/runtime'
import { estimateInputTokens } from '@sluice/usage'
import { type AskedLimits, limitMembers, readAskedLimits } from './asked-limits.ts'
import { boundMembers, type ScannedBody } from './bounds/scanned-body.ts'
import { type ChatSound, soundOfChat } from './chat-sound.ts'
import type { Endpoint } from './endpoints.ts'
import { findNamedModels, namingMembers } from './named-models/find-named-models.ts'
import type { NamedModel } from './named-models/named-model-reader.ts'
import type { References } from './references/require-own-references.ts'
import { Refusal } from './refusal.ts'
import { isTrue, JsonScanError, type MemberSpan, parseString, type ScannedObject, scanObject } from './scan-json.ts'
import type { AskedUsage, MediaAsk } from './shapes/reply-shape.ts'
import { applySplices, requestUsageChunk } from './splice-body.ts'
import type { SpooledFile } from './uploads/spool.ts'

/** Bodies in memory, over all calls: beyond the cap new ones wait outside. */
export class BodyMemory {
  #used = 0
  readonly #cap: number
  constructor(capBytes: number) {
    this.#cap = capBytes
  }
  /** @throws Refusal 503 */
  take(bytes: number): void {
    if (this.#used + bytes > this.#cap)
      throw new Refusal('overloaded', 'This gateway holds as many request bodies as it can. Try again in a moment.', {
        retryAfterS: 1,
      })
    this.#used += bytes
  }
  release(bytes: number): void {
    this.#used -= bytes
  }
  get usedBytes(): number {
    return this.#used
  }
  get capBytes(): number {
    return this.#cap
  }
}

export function bodyTooLarge({ maxBodyBytes }: Pick<Endpoint, 'maxBodyBytes'>): Refusal {
  return new Refusal('body_too_large', `The request body is larger than ${maxBodyBytes} bytes, the limit of this path.`)
}

/**
 * Collects a request body. The caller releases its length from `memory` when the call is done.
 * @throws Refusal 413 above the endpoint's limit or all of the gateway's memory, 503 above what of it is free, 400 where it
 * ends early
 */
export function readBody(request: IncomingMessage, endpoint: Endpoint, memory: BodyMemory): Promise<Buffer> {
  // What does not fit into the gateway's memory today does not fit tomorrow.
  const maxBodyBytes = Math.min(endpoint.maxBodyBytes, memory.capBytes)
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    const fail = (refusal: unknown): void => {
      memory.release(size)
      size = 0
      request.removeAllListeners('data')
      request.resume()
      reject(refusal as Error)
    }
    request.on('data', (chunk: Buffer) => {
      try {
        if (size + chunk.length > maxBodyBytes) throw bodyTooLarge({ maxBodyBytes })
        memory.take(chunk.length)
        size += chunk.length
        chunks.push(chunk)
      } catch (refusal) {
        fail(refusal)
      }
    })
    request.on('end', () => {
      const body = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)
      // The request outlives its body, and these listeners with it.
      chunks.length = 0
      resolve(body)
    })
    request.on('error', cause =>
      fail(new Refusal('invalid_request', 'The request ended before its body was complete.', { cause })),
    )
  })
}

/** What an image or a page amounts to where nobody tells: between what the two dialects' guides give for a mid-sized one. */
export const tokensPerBinaryPart = 1_000

/** Files and images inside a JSON body. */
export interface BinaryContent {
  bytes: number
  parts: number
}

/** What the gateway must know of a request body. */
export interface ModelRequest {
  /** Empty where the endpoint has none. */
  model: string
  streamed: boolean
  body: Buffer | SpooledFile
  withholdUsage: boolean
  /** The provider answers at once and works on; absent: it does not. */
  background?: boolean
  /** The provider keeps the response, so that a later request may name it; absent: nobody has looked. */
  kept?: boolean
  /** Input tokens that the body amounts to, where its provider will tell no number. */
  estimatedInputTokens: number
  asked: AskedUsage | undefined
  /** Of sound that is sent: what it may use at most. Absent: what is asked. */
  atMost?: AskedUsage['quantities']
  /** What of the body is no text; absent where nobody has looked. */
  binary?: BinaryContent
  /** Of calls for sound and images. */
  media?: MediaAsk
  /** What it goes on from at its provider. */
  references?: References
  /** Models that it names beside its own. */
  named?: readonly NamedModel[]
  /** Of a chat; absent where it neither sends sound nor asks for it. */
  sound?: ChatSound | undefined
  /** Absent where the body has no limits that anyone reads. */
  limits?: AskedLimits
  /** As it came, by which its bound is told; absent where nobody has looked into it. */
  scanned?: ScannedBody
}

/** A request without a model and without a body that anyone must read. */
export function readPlainRequest(body: Buffer): ModelRequest {
  return {
    model: '',
    streamed: false,
    body,
    withholdUsage: false,
    estimatedInputTokens: 0,
    asked: undefined,
  }
}

/** @throws Refusal `model_missing` where it is none that could be served */
export function checkModel(model: string | undefined, member = 'model'): string {
  if (model === undefined) throw new Refusal('model_missing', 'The request names no "model".')
  if (model === '' || model.length > 256 || !isPlainText(model))
    throw new Refusal('model_missing', `The "${member}" of the request is empty, too long, or no plain text.`)
  return model
}

/** Top-level members by which a request goes on from something at its provider, or in which it may name it. */
const referenceMembers = ['previous_response_id', 'conversation', 'prompt', 'container', 'input', 'tools'] as const
const wanted: ReadonlySet<string> = new Set([
  'model',
  'stream',
  'stream_options',
  'background',
  'store',
  'modalities',
  'audio',
  ...referenceMembers,
  ...namingMembers,
  ...limitMembers,
  ...boundMembers,
])

/** @throws JsonScanError where it is no JSON object */
export function scanRequest(body: Buffer): ScannedObject {
  return scanObject(body, wanted)
}

/**
 * Finds model and mode in one scan and splices in what metering needs; the client's bytes are never written anew.
 * @throws Refusal 400 where the body is no JSON object or names no model
 */
export function readModelRequest(endpoint: Endpoint, body: Buffer): ModelRequest {
  try {
    const scanned = scanRequest(body)
    const modelSpan = scanned.members.get('model')
    const model = checkModel(modelSpan && parseString(body, modelSpan))
    const background = isTrue(body, scanned.members.get('background'))
    if (background && endpoint.handledBy !== 'create-response')
      throw new Refusal('path_not_supported', 'Nothing is made in the background here: leave "background" out.')
    const references = readReferences(body, scanned)
    const streamed = endpoint.streamable && isTrue(body, scanned.members.get('stream'))
    const sound = endpoint.shape === 'chat' ? soundOfChat(body, scanned) : undefined
    // What lasts a time is no piece.
    const parts = scanned.binaryParts - (sound?.parts ?? 0)
    const splice = streamed && endpoint.shape === 'chat' ? requestUsageChunk(body, scanned) : undefined
    return {
      model,
      streamed,
      body: splice ? applySplices(body, [splice]) : body,
      withholdUsage: splice !== undefined,
      background,
      kept: !isFalse(body, scanned.members.get('store')),
      // Behind a splice the places are others.
      references: splice ? { ...references, input: undefined, tools: undefined } : references,
      estimatedInputTokens: estimateInputTokens(body.length, scanned.binaryBytes) + parts * tokensPerBinaryPart,
      asked: undefined,
      binary: { bytes: scanned.binaryBytes, parts },
      named: findNamedModels({ bytes: body, members: scanned.members, dialect: endpoint.dialect }),
      sound,
      limits: readAskedLimits(body, scanned),
      scanned: { bytes: body, object: scanned },
    }
  } catch (error) {
    if (error instanceof JsonScanError) throw new Refusal('invalid_request', error.message)
    throw error
  }
}

/** @throws JsonScanError where the id of a response is no text */
export function readReferences(body: Buffer, { members }: ScannedObject): References {
  const isGiven = (name: string): boolean => {
    const span = members.get(name)
    return span !== undefined && !isNull(body, span)
  }
  const previous = members.get('previous_response_id')
  return {
    previousResponseIds: previous && !isNull(body, previous) ? [parseString(body, previous)] : [],
    conversation: isGiven('conversation'),
    isNamed: isObject(body, members.get('prompt')) || isGiven('container'),
    input: members.get('input'),
    tools: members.get('tools'),
  }
}

function isNull(body: Buffer, { start }: MemberSpan): boolean {
  return body[start] === 0x6e
}

function isObject(body: Buffer, span: MemberSpan | undefined): boolean {
  return span !== undefined && body[span.start] === 0x7b
}

/** True where the member is the literal `false`. */
export function isFalse(body: Buffer, span: MemberSpan | undefined): boolean {
  return span !== undefined && body[span.start] === 0x66
}
