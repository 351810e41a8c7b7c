import { fromEmbedding } from '@sluice/usage'
import { chat } from './chat.ts'
import { readJson } from './read-json.ts'
import type { ReplyShape } from './reply-shape.ts'

/** Embeddings: an input, and vectors that nobody charges for. */
export const embeddings: ReplyShape = {
  read: (body, facts) => readJson(body, facts, { convert: fromEmbedding, outputBytes: () => 0 }),
  openStream: chat.openStream,
  tellsAtItsEnd: true,
}
