import type { Call } from '../call.ts'
import { NOTHING_METERED } from '../cost.ts'
import { readModel, readOrders } from '../generation.ts'
import { asCount, asList } from '../json.ts'
import { sendWhole } from '../play-whole.ts'
import { Production } from '../production.ts'
import { ProviderError } from '../provider-error.ts'
import { countTokens } from '../tokens.ts'

/** `POST /v1/embeddings` */
export async function embeddings(call: Call): Promise<void> {
  const { script, directives, answer } = planEmbedding(call)
  const production = new Production(call, { ...script, tier: 'default' }, { responseId: null, streamed: false })
  // Vectors come at once, after the time they take.
  await production.pause(directives.number('first_delay_ms') ?? 0)
  if (production.ended) return
  production.produceAll()
  await sendWhole({ call, directives, production, answer })
}

/** Reads a request for vectors and fixes what it answers and costs. Throws the dialect's own errors. */
export function planEmbedding(call: Call) {
  const { body } = call
  const served = readModel(call, 'embedding')
  const inputs = readInputs(body.input)
  const directives = readOrders(call, { userText: inputs.filter(input => typeof input === 'string').join('\n') })
  const widest = served.model === 'text-embedding-3-large' ? 3072 : 1536
  const dimensions = Math.min(asCount(body.dimensions) || widest, widest)
  const asBase64 = body.encoding_format === 'base64'
  let counted = 0
  const data = inputs.map((input, index) => {
    const tokens = typeof input === 'string' ? countTokens(input) : input.length
    counted += tokens
    const vector = makeVector(dimensions, tokens + index)
    return { object: 'embedding', index, embedding: asBase64 ? toBase64(vector) : Array.from(vector) }
  })
  const tokens = directives.number('input_tokens') ?? counted
  const told = directives.number('report_input') ?? (directives.has('wrong_usage') ? tokens * 2 + 1 : tokens)
  return {
    responseId: null,
    directives,
    script: { ...served, geo: null, metered: { ...NOTHING_METERED, input_fresh: tokens } },
    answer: {
      object: 'list',
      data,
      model: served.name,
      ...(directives.has('no_usage') ? {} : { usage: { prompt_tokens: told, total_tokens: told } }),
    },
  }
}

/** A text, a list of texts, a list of tokens, or a list of such lists. */
function readInputs(input: unknown): (string | readonly unknown[])[] {
  if (typeof input === 'string') return [input]
  const list = asList(input)
  if (list.length === 0) throw new ProviderError(400, 'invalid_request_error', 'The request has no input.')
  if (typeof list[0] === 'number') return [list]
  return list.map(item => (typeof item === 'string' ? item : asList(item)))
}

function makeVector(dimensions: number, seed: number): Float32Array {
  const vector = new Float32Array(dimensions)
  const size = 1 / Math.sqrt(dimensions)
  for (let index = 0; index < dimensions; index += 1) vector[index] = (index * 31 + seed) % 2 === 0 ? size : -size
  return vector
}

function toBase64(vector: Float32Array): string {
  return Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString('base64')
}
