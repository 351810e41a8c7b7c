import type { SaidMembers } from './json-picker.ts'

/** Members that name and mark things, are sealed, or hold images and sound: no text that was said. */
export const notSaid: ReadonlySet<string> = new Set([
  'id',
  'type',
  'role',
  'status',
  'call_id',
  'object',
  'signature',
  'encrypted_content',
  'finish_reason',
  'logprobs',
  'result',
  'data',
  'b64_json',
])

/** Text in one member of a reply, at any depth. */
export function saidIn(member: string): SaidMembers {
  return { inside: member, unless: notSaid }
}
