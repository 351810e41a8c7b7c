/** Fixed at install: series, marks and the usage log are numbered by it. */
export const PARTITIONS = 8

/**
 * The partition of a project's usage: FNV-1a over the bytes of its id, mod {@link PARTITIONS}. Project ids are UUIDs in
 * ASCII, so a character is a byte.
 */
export function partitionOf(projectId: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < projectId.length; i++) {
    hash ^= projectId.charCodeAt(i) & 0xff
    hash = Math.imul(hash, 0x01000193)
  }
  return (hash >>> 0) % PARTITIONS
}
