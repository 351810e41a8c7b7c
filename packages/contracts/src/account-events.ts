import type { Static } from 'typebox'
import { defineEvent } from './define-event.ts'
import { Id, UnixMs, Uuid } from './ids.ts'
import { Type } from './type.ts'

/** `project.changed.v1`: a project's settings, teams or integrations have changed. The state is KV `projects`. */
export const ProjectChangedData = Type.Object({
  project_id: Uuid,
  account_id: Id,
  version: Type.Integer(),
  at_ms: UnixMs,
})
export type ProjectChangedData = Static<typeof ProjectChangedData>
export const ProjectChanged = defineEvent({
  type: 'project.changed.v1',
  subject: () => 'project.changed.v1',
  schema: ProjectChangedData,
})

/** `key.revoked.v1`: a key, and every participant token signed with it, is void. The state is KV `keys`. */
export const KeyRevokedData = Type.Object({ key_id: Uuid, project_id: Uuid, account_id: Id, at_ms: UnixMs })
export type KeyRevokedData = Static<typeof KeyRevokedData>
export const KeyRevoked = defineEvent({
  type: 'key.revoked.v1',
  subject: () => 'key.revoked.v1',
  schema: KeyRevokedData,
})
