import { createHash } from 'node:crypto'

/** Namespace of the ids below (RFC 9562, version 5). Never changes: an event settled again must get the same id. */
const namespace = Buffer.from('6f0d8a5c1b7e4d63a2915f3c8e40b7d2', 'hex')

/**
 * The id of an event that more than one gateway may settle: the same project and settlement key give the same id,
 * wherever and however often it is settled. The project is part of it, so that no project can take another one's id.
 */
export function settlementEventId(projectId: string, settlementKey: string): string {
  const bytes = createHash('sha1').update(namespace).update(`${projectId}/${settlementKey}`).digest().subarray(0, 16)
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x50
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80
  const hex = bytes.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}
