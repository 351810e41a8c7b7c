import { fromResponse, responseMembers } from '@sluice/usage'
import { type JsonReply, openJson, readJson } from './read-json.ts'
import type { ReplyShape } from './reply-shape.ts'
import { responses } from './responses.ts'

const sealed = 'encrypted_content'
const reply: JsonReply = {
  convert: fromResponse,
  members: { ...responseMembers, says: { inside: 'output', unless: new Set(), only: sealed } },
  outputBytes: parsed => bytesBehind(sealedCharacters(parsed)),
  largeOutputBytes: bytesBehind,
}

/** A compacted conversation: what it says is sealed, and charged as output all the same. */
export const compaction: ReplyShape = {
  read: (body, facts) => readJson(body, facts, reply),
  openLarge: facts => openJson(facts, reply),
  openStream: responses.openStream,
}

/** Of base64. */
function bytesBehind(characters: number): number {
  return Math.ceil(characters / 4) * 3
}

function sealedCharacters(reply: unknown): number {
  const { output } = (reply ?? {}) as { output?: unknown }
  let characters = 0
  for (const item of Array.isArray(output) ? output : []) {
    const { [sealed]: content } = (item ?? {}) as { [sealed]?: unknown }
    if (typeof content === 'string') characters += content.length
  }
  return characters
}
