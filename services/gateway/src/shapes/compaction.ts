import { fromResponse } from '@sluice/usage'
import { readJson } from './read-json.ts'
import type { ReplyShape } from './reply-shape.ts'
import { responses } from './responses.ts'

/** A compacted conversation: what it says is sealed, and charged as output all the same. */
export const compaction: ReplyShape = {
  read: (body, facts) => readJson(body, facts, fromResponse, { outputBytes: sealedBytes }),
  openStream: responses.openStream,
}

/** Bytes behind the base64 of sealed items. */
function sealedBytes(reply: unknown): number {
  const { output } = reply as { output?: unknown }
  let characters = 0
  for (const item of Array.isArray(output) ? output : []) {
    const { encrypted_content: sealed } = (item ?? {}) as { encrypted_content?: unknown }
    if (typeof sealed === 'string') characters += sealed.length
  }
  return Math.ceil(characters / 4) * 3
}
