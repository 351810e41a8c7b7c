import type { OutboxEntry } from '@sluice/postgres'
import {
  type AccountBucket,
  announceKey,
  announceManagedIntegration,
  announceProject,
  announceRoom,
  announceSession,
  digestOf,
  keyOfRoom,
  withdraw,
} from './announcement.ts'
import { listAnnouncedKeyIds, readKeyDocuments } from './api-key-store.ts'
import { type Actor, type Changes, createChanges } from './change-store.ts'
import type { Db } from './db/schema.ts'
import { listManagedIntegrations, lockManagedIntegrations, toManagedDocument } from './managed-integration-store.ts'
import { listProjectIds, lockAnnouncedProject, readProjectDocument } from './project-store.ts'
import { readRoomDocuments } from './room-store.ts'
import { listSessionHashes, lockMembersOfSessions, readSessions } from './session-store.ts'

const actor: Actor = { kind: 'system', id: 'repair', accountId: '' }
const pageSize = 1_000
/** A room's document may name some thousand members. */
const pageOfRooms = 100

export interface RepairDeps {
  db: Db
  now: () => number
  readDigests: (bucket: AccountBucket) => Promise<Map<string, string>>
  flush: () => Promise<void>
}

/** Some of what PostgreSQL would announce. */
interface Page {
  bucket: AccountBucket
  entries: readonly OutboxEntry[]
  /** Reads some of it again, with what it hangs on locked: what is announced then overtakes nothing newer. */
  readLocked: (trx: Db, keys: readonly string[]) => Promise<readonly OutboxEntry[]>
}

/**
 * Announces what the buckets hold otherwise than PostgreSQL, and withdraws what it does not have: after a lost NATS volume, a
 * restored database or a bucket that somebody wrote into, both say the same. What is the same is not written, so that
 * gateways forget nothing. Keeps a digest of each document that a bucket holds; PostgreSQL is read a page at a time.
 * @throws where PostgreSQL shows no project at all and there would be something to withdraw: who reads nothing knows nothing
 */
export async function repairAnnouncements(deps: RepairDeps): Promise<{ announced: number; withdrawn: number }> {
  const changes = createChanges({ db: deps.db, now: deps.now })
  // Read before PostgreSQL: whatever is in a bucket now has been committed before. What PostgreSQL has is taken out of it.
  const held: Held = {
    projects: await deps.readDigests('projects'),
    keys: await deps.readDigests('keys'),
    rooms: await deps.readDigests('rooms'),
    sessions: await deps.readDigests('sessions'),
    'managed-integrations': await deps.readDigests('managed-integrations'),
  }
  const projectIds = await listProjectIds(deps.db)
  let announced = 0
  for await (const page of pagesOf(deps.db, projectIds)) announced += await announceDifferent(deps, changes, held, page)

  const stale = Object.entries(held).flatMap(([bucket, left]) =>
    [...left.keys()].map(key => withdraw(bucket as AccountBucket, key)),
  )
  if (projectIds.length === 0 && stale.length > 0)
    throw new Error(
      `PostgreSQL shows no project, but gateways hold ${stale.length} documents: nothing is withdrawn. Check that ACCOUNTS_DATABASE_URL names the right database, that it is restored, and that its installation is made.`,
    )
  for (let from = 0; from < stale.length; from += pageSize) {
    await changes.make(actor, change => change.announce(stale.slice(from, from + pageSize)))
    await deps.flush()
  }
  return { announced, withdrawn: stale.length }
}

type Held = Record<AccountBucket, Map<string, string>>

/** Announces what of a page its bucket held otherwise or not at all. @returns how many documents */
async function announceDifferent(deps: RepairDeps, changes: Changes, held: Held, page: Page): Promise<number> {
  const ofBucket = held[page.bucket]
  const different = page.entries.filter(({ key, payload }) => ofBucket.get(key) !== digestOf(payload))
  for (const { key } of page.entries) ofBucket.delete(key)
  if (different.length === 0) return 0
  const count = await changes.make(actor, async change => {
    const entries = await page.readLocked(
      change.trx,
      different.map(({ key }) => key),
    )
    await change.announce(entries)
    return entries.length
  })
  await deps.flush()
  return count
}

async function* pagesOf(db: Db, projectIds: readonly string[]): AsyncGenerator<Page> {
  for (const projectId of projectIds) {
    yield await pageOfProject(db, projectId)
    yield* pagesOfKeys(db, projectId)
    yield* pagesOfRooms(db, projectId)
  }
  yield* pagesOfSessions(db)
  yield await pageOfManaged(db)
}

async function pageOfProject(db: Db, projectId: string): Promise<Page> {
  const read = async (from: Db) => [announceProject(await readProjectDocument(from, projectId))]
  return {
    bucket: 'projects',
    entries: await read(db),
    readLocked: async trx => {
      await lockAnnouncedProject(trx, projectId)
      return read(trx)
    },
  }
}

async function pageOfManaged(db: Db): Promise<Page> {
  const read = async (from: Db) =>
    (await listManagedIntegrations(from)).map(toManagedDocument).map(announceManagedIntegration)
  return {
    bucket: 'managed-integrations',
    entries: await read(db),
    readLocked: async (trx, different) => {
      await lockManagedIntegrations(trx)
      return (await read(trx)).filter(({ key }) => different.includes(key))
    },
  }
}

async function* pagesOfKeys(db: Db, projectId: string): AsyncGenerator<Page> {
  const read = async (from: Db, keyIds: readonly string[]) => (await readKeyDocuments(from, keyIds)).map(announceKey)
  let keyIds = await listAnnouncedKeyIds(db, projectId, { after: undefined, limit: pageSize })
  while (keyIds.length > 0) {
    const entries = await read(db, keyIds)
    yield {
      bucket: 'keys',
      entries,
      readLocked: async (trx, different) => {
        await lockAnnouncedProject(trx, projectId)
        return read(trx, different)
      },
    }
    keyIds = await listAnnouncedKeyIds(db, projectId, { after: keyIds.at(-1), limit: pageSize })
  }
}

async function* pagesOfRooms(db: Db, projectId: string): AsyncGenerator<Page> {
  const readPage = (after: string) => readRoomDocuments(db, projectId, { after, limit: pageOfRooms })
  let rooms = await readPage('')
  while (rooms.length > 0) {
    const nameOf = new Map(rooms.map(document => [keyOfRoom(document), document.room]))
    yield {
      bucket: 'rooms',
      entries: rooms.map(announceRoom),
      readLocked: async (trx, different) => {
        await lockAnnouncedProject(trx, projectId)
        const names = different.flatMap(key => nameOf.get(key) ?? [])
        return (await readRoomDocuments(trx, projectId, { rooms: names })).map(announceRoom)
      },
    }
    rooms = await readPage(rooms.at(-1)?.room ?? '')
  }
}

async function* pagesOfSessions(db: Db): AsyncGenerator<Page> {
  const read = async (from: Db, hashes: readonly string[]) =>
    (await readSessions(from, hashes)).flatMap(({ tokenHash, document }) =>
      document ? [announceSession(tokenHash, document)] : [],
    )
  let hashes = await listSessionHashes(db, { after: '', limit: pageSize })
  while (hashes.length > 0) {
    yield {
      bucket: 'sessions',
      entries: await read(db, hashes),
      readLocked: async (trx, different) => {
        await lockMembersOfSessions(trx, different)
        return read(trx, different)
      },
    }
    hashes = await listSessionHashes(db, { after: hashes.at(-1) ?? '', limit: pageSize })
  }
}
