import type { AdmittedCall } from './call.ts'
import { tokensPerBinaryPart } from './read-request.ts'
import { scanObject } from './scan-json.ts'
import type { CountedTokens } from './shapes/reply-shape.ts'
import type { TokenCounter } from './token-counter.ts'

const nothing: ReadonlySet<string> = new Set()
/** Of how many places in the body, and how much of each. */
const samples = 4
const sampleBytes = 512
/** Base64: no text has so long a word. */
const binary = /[A-Za-z0-9+/=_-]{120}/

/**
 * Input tokens of a request body whose provider told no number, counted from samples of its text. Its JSON syntax stands for
 * the tokens that chat templates add. Undefined where counting has no time left, or no sample is text.
 */
export function estimateBodyTokens(counter: TokenCounter, body: Buffer): number | undefined {
  const { binaryBytes, binaryParts } = scanObject(body, nothing)
  const textBytes = Math.max(0, body.length - binaryBytes)
  const tokens = counter.countBySample(textBytes, sampleOf(body))
  return tokens === undefined ? undefined : tokens + binaryParts * tokensPerBinaryPart
}

/** Counts what a call's provider does not tell. Requests that are no text are told by what they ask for. */
export function countedTokensOf(
  counter: TokenCounter,
  call: Pick<AdmittedCall, 'asked' | 'body' | 'endpoint'>,
): CountedTokens {
  return {
    ofRequest: () =>
      call.asked === undefined && call.endpoint.body === 'json' && Buffer.isBuffer(call.body)
        ? estimateBodyTokens(counter, call.body)
        : undefined,
    ofText: (bytes, sample) => counter.countBySample(bytes, sample),
  }
}

function sampleOf(body: Buffer): string {
  if (body.length <= samples * sampleBytes) return withoutBinary(body.toString('utf8'))
  let sample = ''
  for (let i = 0; i < samples; i++) {
    const from = Math.floor((i * (body.length - sampleBytes)) / (samples - 1))
    sample += withoutBinary(body.toString('utf8', from, from + sampleBytes))
  }
  return sample
}

function withoutBinary(text: string): string {
  return binary.test(text) ? '' : text
}
