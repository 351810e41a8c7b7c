import { createHash } from 'node:crypto'

/** An entry of an account's audit trail, as it is kept, exported and hashed. */
export interface ChainedEntry {
  /** 1, 2, 3 … in its account. */
  number: number
  /** RFC 3339, in UTC, with milliseconds. */
  at: string
  account_id: string
  project_id: string | null
  actor_kind: string
  actor_id: string
  from_address: string | null
  user_agent: string | null
  action: string
  target: string
  before: unknown
  after: unknown
  prev_hash: string
  /** SHA-256, hex, of all of the above. */
  hash: string
}

/** How far a trail is known. */
export interface ChainHead {
  number: number
  hash: string
}

/** What the first entry of an account follows. */
export const chainStart: ChainHead = { number: 0, hash: '0'.repeat(64) }

/** The hash of an entry: of its JSON with the names of every object in order, so that it is the same however it was stored. */
export function hashEntry({ hash: _, ...entry }: Omit<ChainedEntry, 'hash'> & { hash?: string }): string {
  return createHash('sha256')
    .update(JSON.stringify(inOrder(entry)))
    .digest('hex')
}

/** Makes the entry that follows in a trail. Values become what their JSON says. */
export function chainEntry(head: ChainHead, entry: Omit<ChainedEntry, 'number' | 'prev_hash' | 'hash'>): ChainedEntry {
  const said = JSON.parse(JSON.stringify({ ...entry, number: head.number + 1, prev_hash: head.hash }))
  const whole: Omit<ChainedEntry, 'hash'> = { before: null, after: null, ...said }
  return { ...whole, hash: hashEntry(whole) }
}

/**
 * Follows a trail from a head on. @returns how far it holds, and the number that breaks it: changed, left out, moved or put
 * in afterwards
 */
export function followChain(
  head: ChainHead,
  entries: readonly ChainedEntry[],
): { head: ChainHead; broken: number | undefined } {
  let reached = head
  for (const entry of entries) {
    const follows = entry.number === reached.number + 1 && entry.prev_hash === reached.hash
    if (!follows || hashEntry(entry) !== entry.hash) return { head: reached, broken: reached.number + 1 }
    reached = { number: entry.number, hash: entry.hash }
  }
  return { head: reached, broken: undefined }
}

function inOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inOrder)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, inner]) => [name, inOrder(inner)]),
  )
}
