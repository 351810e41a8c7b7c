import { hash } from 'node:crypto'
import {
  Key,
  KeyRevoked,
  type KeyRevokedData,
  ManagedIntegration,
  Project,
  ProjectChanged,
  type ProjectChangedData,
  Room,
  Session,
} from '@sluice/contracts'
import type { OutboxEntry } from '@sluice/postgres'
import { uuidv7 } from 'uuidv7'

/** The buckets this service writes. */
export type AccountBucket = 'keys' | 'projects' | 'rooms' | 'sessions' | 'managed-integrations'

/** What goes through the outbox: documents for the buckets, and events. Each is checked by its contract here. */
export const announceProject = (document: Project): OutboxEntry => ({
  kind: 'kv-put',
  target: 'projects',
  key: document.project_id,
  payload: Project.encode(document),
})

export const announceKey = (document: Key): OutboxEntry => ({
  kind: 'kv-put',
  target: 'keys',
  key: document.key_id,
  payload: Key.encode(document),
})

export const announceRoom = (document: Room): OutboxEntry => ({
  kind: 'kv-put',
  target: 'rooms',
  key: keyOfRoom(document),
  payload: Room.encode(document),
})

export const announceManagedIntegration = (document: ManagedIntegration): OutboxEntry => ({
  kind: 'kv-put',
  target: 'managed-integrations',
  key: document.dialect,
  payload: ManagedIntegration.encode(document),
})

/** Where a room stands in its bucket. */
export const keyOfRoom = ({ project_id, room }: Pick<Room, 'project_id' | 'room'>): string => `${project_id}.${room}`

export const announceSession = (tokenHash: string, document: Session): OutboxEntry => ({
  kind: 'kv-put',
  target: 'sessions',
  key: tokenHash,
  payload: Session.encode(document),
})

/** By which a document in a bucket and one that would be announced are told apart. */
export const digestOf = (payload: string | Uint8Array): string => hash('sha256', payload, 'base64url')

export const withdraw = (bucket: AccountBucket, key: string): OutboxEntry => ({
  kind: 'kv-delete',
  target: bucket,
  key,
  payload: '',
})

export const announceProjectChanged = (data: ProjectChangedData): OutboxEntry => ({
  kind: 'event',
  target: ProjectChanged.type,
  key: uuidv7(),
  payload: ProjectChanged.encode(data),
})

export const announceKeyRevoked = (data: KeyRevokedData): OutboxEntry => ({
  kind: 'event',
  target: KeyRevoked.type,
  key: uuidv7(),
  payload: KeyRevoked.encode(data),
})
