import type { AdmittedCall } from './call.ts'
import { type BinaryContent, tokensPerBinaryPart } from './read-request.ts'
import { scanObject } from './scan-json.ts'
import type { CountedTokens } from './shapes/reply-shape.ts'
import type { TokenCounter } from './token-counter.ts'

const nothing: ReadonlySet<string> = new Set()
/** Of how many places in the body, and how much of each. */
const samples = 4
const sampleBytes = 512
/** Base64: no text has so long a word. */
const binary = /[A-Za-z0-9+/=_-]{120}/

/** What an estimate needs of a request body. At most {@link samples} times {@link sampleBytes}, however large the body. */
export interface BodySample {
  textBytes: number
  binaryParts: number
  /** Of its beginning, its middle and its end, as they are. */
  pieces: readonly string[]
}

/** @param binary what of it is no text, where that is known; else the body is looked through */
export function sampleBody(body: Buffer, binary: BinaryContent = findBinary(body)): BodySample {
  return { textBytes: Math.max(0, body.length - binary.bytes), binaryParts: binary.parts, pieces: piecesOf(body) }
}

/**
 * Input tokens of a request body whose provider told no number, counted from samples of its text. Its JSON syntax stands for
 * the tokens that chat templates add. Undefined where counting has no time left, or no sample is text.
 */
export function estimateBodyTokens(counter: TokenCounter, sample: BodySample): number | undefined {
  // Looked at here, and not when a body is let go: few samples are ever counted.
  const text = sample.pieces.filter(piece => !binary.test(piece)).join('')
  const tokens = counter.countBySample(sample.textBytes, text)
  return tokens === undefined ? undefined : tokens + sample.binaryParts * tokensPerBinaryPart
}

/** Lets the body of a running call go: it is out. What an estimate needs of it is kept. */
export function letBodyGo(call: AdmittedCall): void {
  if (!Buffer.isBuffer(call.body)) return
  const sample = sampleOfCall(call)
  if (sample) call.bodySample = sample
  dropBody(call)
}

/** Lets the body of a call go that is settled, or never was one: nothing is estimated from it any more. */
export function dropBody(call: AdmittedCall): void {
  if (!Buffer.isBuffer(call.body)) return
  call.body = noBody
  call.held?.release()
}

const noBody = Buffer.alloc(0)

/** Of requests that are text; undefined for the others. */
function sampleOfCall(call: SampledCall): BodySample | undefined {
  if (call.bodySample) return call.bodySample
  if (call.asked !== undefined || !call.binary || !Buffer.isBuffer(call.body)) return undefined
  return sampleBody(call.body, call.binary)
}

type SampledCall = Pick<AdmittedCall, 'asked' | 'body' | 'binary' | 'bodySample'>

function findBinary(body: Buffer): BinaryContent {
  const { binaryBytes, binaryParts } = scanObject(body, nothing)
  return { bytes: binaryBytes, parts: binaryParts }
}

/** Counts what a call's provider does not tell. Requests that are no text are told by what they ask for. */
export class CountedCall implements CountedTokens {
  readonly #counter: TokenCounter
  readonly #call: SampledCall

  constructor(counter: TokenCounter, call: SampledCall) {
    this.#counter = counter
    this.#call = call
  }

  ofRequest(): number | undefined {
    const sample = sampleOfCall(this.#call)
    return sample && estimateBodyTokens(this.#counter, sample)
  }

  ofText(bytes: number, sample: string): number | undefined {
    return this.#counter.countBySample(bytes, sample)
  }
}

function piecesOf(body: Buffer): string[] {
  if (body.length <= samples * sampleBytes) return [body.toString('utf8')]
  return Array.from({ length: samples }, (_, i) => {
    const from = Math.floor((i * (body.length - sampleBytes)) / (samples - 1))
    return body.toString('utf8', from, from + sampleBytes)
  })
}
