import type { AccountBucket } from './account-publisher.ts'
import { announceKey, announceProject, announceRoom, announceSession, keyOfRoom, withdraw } from './announcement.ts'
import { listAnnouncedKeyIds, readKeyDocuments } from './api-key-store.ts'
import { type Actor, type Changes, createChanges } from './change-store.ts'
import type { Db } from './db/schema.ts'
import { listProjectIds, lockProject, readProjectDocument } from './project-store.ts'
import { readRoomDocuments } from './room-store.ts'
import { findSession, lockSessionHashes } from './session-store.ts'

const actor: Actor = { kind: 'system', id: 'repair', accountId: '' }
const pageSize = 1_000

export interface RepairDeps {
  db: Db
  now: () => number
  listKeys: (bucket: AccountBucket) => Promise<string[]>
  flush: () => Promise<void>
}

/**
 * Announces every document again and withdraws what the buckets hold and PostgreSQL does not: after a lost NATS volume, a
 * restored database or a bucket that somebody wrote into, both say the same. Goes through the outbox, one project at a
 * time under its lock, so that no newer document is overtaken.
 * @throws where PostgreSQL shows no project at all and there would be something to withdraw: who reads nothing knows nothing
 */
export async function repairAnnouncements(deps: RepairDeps): Promise<{ announced: number; withdrawn: number }> {
  const changes = createChanges({ db: deps.db, now: deps.now })
  // Listed before PostgreSQL is read: whatever is in a bucket now has been committed before.
  const held = {
    projects: await deps.listKeys('projects'),
    keys: await deps.listKeys('keys'),
    rooms: await deps.listKeys('rooms'),
    sessions: await deps.listKeys('sessions'),
  }
  const current = {
    projects: new Set<string>(),
    keys: new Set<string>(),
    rooms: new Set<string>(),
    sessions: new Set<string>(),
  }
  for (const projectId of await listProjectIds(deps.db)) {
    current.projects.add(projectId)
    await repairProject(changes, projectId)
    for await (const keyId of repairKeys(changes, projectId)) current.keys.add(keyId)
    for await (const key of repairRooms(changes, projectId)) current.rooms.add(key)
  }
  for (const tokenHash of await repairSessions(changes)) current.sessions.add(tokenHash)

  const buckets = ['projects', 'keys', 'rooms', 'sessions'] as const
  const stale = buckets.flatMap(bucket =>
    held[bucket].filter(key => !current[bucket].has(key)).map(key => withdraw(bucket, key)),
  )
  if (current.projects.size === 0 && stale.length > 0)
    throw new Error(
      `PostgreSQL shows no project, but gateways hold ${stale.length} documents: nothing is withdrawn. Check that ACCOUNTS_DATABASE_URL names the right database, that it is restored, and that its installation is made.`,
    )
  await changes.make(actor, change => change.announce(stale))
  await deps.flush()
  const announced = buckets.reduce((sum, bucket) => sum + current[bucket].size, 0)
  return { announced, withdrawn: stale.length }
}

function repairProject(changes: Changes, projectId: string): Promise<void> {
  return changes.make(actor, async change => {
    await lockProject(change.trx, projectId)
    await change.announce([announceProject(await readProjectDocument(change.trx, projectId))])
  })
}

/** The keys of a project, a page at a time: between two of them the project is free for changes. */
async function* repairKeys(changes: Changes, projectId: string): AsyncGenerator<string> {
  let after: string | undefined
  do {
    const page = { after, limit: pageSize }
    const keyIds = await changes.make(actor, async change => {
      await lockProject(change.trx, projectId)
      const ids = await listAnnouncedKeyIds(change.trx, projectId, page)
      const keys = await readKeyDocuments(change.trx, ids)
      await change.announce(keys.map(announceKey))
      return ids
    })
    yield* keyIds
    after = keyIds.at(-1)
  } while (after !== undefined)
}

/** The rooms of a project, a page at a time. */
async function* repairRooms(changes: Changes, projectId: string): AsyncGenerator<string> {
  let after: string | undefined = ''
  while (after !== undefined) {
    const behind: string = after
    const rooms = await changes.make(actor, async change => {
      await lockProject(change.trx, projectId)
      const documents = await readRoomDocuments(change.trx, projectId, { after: behind, limit: pageSize })
      await change.announce(documents.map(announceRoom))
      return documents
    })
    yield* rooms.map(keyOfRoom)
    after = rooms.at(-1)?.room
  }
}

function repairSessions(changes: Changes): Promise<string[]> {
  return changes.make(actor, async change => {
    const hashes = await lockSessionHashes(change.trx)
    for (const tokenHash of hashes) {
      const document = await findSession(change.trx, tokenHash)
      if (document) await change.announce([announceSession(tokenHash, document)])
    }
    return hashes
  })
}
