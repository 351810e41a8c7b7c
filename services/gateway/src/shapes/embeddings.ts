import { embeddingMembers, fromEmbedding } from '@sluice/usage'
import { chat } from './chat.ts'
import { type JsonReply, openJson, readJson } from './read-json.ts'
import type { ReplyShape } from './reply-shape.ts'

const reply: JsonReply = { convert: fromEmbedding, members: embeddingMembers, outputBytes: () => 0 }

/** Embeddings: an input, and vectors that nobody charges for. */
export const embeddings: ReplyShape = {
  read: (body, facts) => readJson(body, facts, reply),
  openLarge: facts => openJson(facts, reply),
  openStream: chat.openStream,
}
