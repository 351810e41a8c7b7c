import type { Bundle } from '@sluice/contracts'
import { errorOf } from '@sluice/runtime'
import { announceMemberRights } from './announce-member.ts'
import { newId } from './api-key.ts'
import { listKeyIdsOfMembers } from './api-key-store.ts'
import { revokeApiKeys } from './change-api-key.ts'
import type { Change } from './change-store.ts'
import { errors, notFound } from './errors.ts'
import { findMember, findMemberOfAccountByEmail, insertNewMember, lockMember, type Member } from './member-store.ts'
import { type ProjectRights, rolesOf } from './project-member.ts'
import {
  countProjectMembers,
  countProjectsOfMember,
  deleteProjectMember,
  findProjectMember,
  insertProjectMember,
  type ProjectMember,
  updateProjectMember,
} from './project-member-store.ts'
import { announceProjectChange, lockProject } from './project-store.ts'
import { announceRoomChange, deleteRoomMemberships } from './room-store.ts'
import { endTeamMembers } from './team-member-store.ts'
import { withinAccount } from './tenant-scope-store.ts'

/** Somebody by their id, or by an e-mail address that may be new to the account. */
export type PersonName = { userId: string } | { email: string; firstName: string; lastName: string }

/**
 * Gives somebody rights in a project. An address that nobody has becomes a member of the account without a password, who
 * cannot sign in until they are given one.
 * @throws AppError 404 for an unknown id, 409 where they are in the project already or belong to another account
 */
export async function addProjectMember(
  change: Change,
  projectId: string,
  person: PersonName,
  rights: ProjectRights,
): Promise<{ memberId: string; isNew: boolean }> {
  const project = await lockProject(change.trx, projectId)
  const found = await findPerson(change, project.account_id, person)
  const memberId = found?.member_id ?? (await inviteMember(change, project.account_id, person))
  await lockMember(change.trx, project.account_id, memberId)
  if (await findProjectMember(change.trx, projectId, memberId))
    throw errorOf(errors.conflict, {
      message: 'They are in this project already. Change their rights with PUT …/users/{id}.',
    })
  await change.limits.requireRoom('members', projectId, () =>
    countProjectMembers(change.trx, projectId, { text: undefined }),
  )
  // Each is in the documents of their sessions.
  await change.limits.requireRoom('projectsOfMember', memberId, () =>
    withinAccount(change.trx, () => countProjectsOfMember(change.trx, memberId)),
  )
  await insertProjectMember(change.trx, { projectId, accountId: project.account_id, memberId }, rights)
  await announceMemberRights(change, [memberId], projectId)
  await change.audit({ action: 'project-member.added', target: memberId, projectId, after: { roles: rolesOf(rights) } })
  return { memberId, isNew: found === undefined }
}

/** Changes what somebody may do in a project. @throws AppError 404 */
export async function changeProjectMember(
  change: Change,
  projectId: string,
  memberId: string,
  decide: (before: ProjectMember) => ProjectRights,
): Promise<void> {
  const before = await lockProjectMember(change, projectId, memberId)
  const rights = decide(before)
  await updateProjectMember(change.trx, projectId, memberId, rights)
  await announceMemberRights(change, [memberId], projectId)
  await change.audit({
    action: 'project-member.changed',
    target: memberId,
    projectId,
    before: { roles: rolesOf(rightsOf(before)) },
    after: { roles: rolesOf(rights) },
  })
}

/**
 * Takes somebody out of a project, for good: their sessions have no rights there any more, their keys are revoked, and with them
 * what was minted for them. Who is added again begins anew. @throws AppError 404
 */
export async function removeProjectMember(
  change: Change,
  projectId: string,
  memberId: string,
  check: (before: ProjectMember) => void,
): Promise<void> {
  const before = await lockProjectMember(change, projectId, memberId)
  check(before)
  await deleteProjectMember(change.trx, projectId, memberId)
  await leaveTeams(change, projectId, memberId)
  await leaveRooms(change, projectId, memberId)
  await revokeApiKeys(change, projectId, await listKeyIdsOfMembers(change.trx, [memberId], projectId))
  await announceMemberRights(change, [memberId], projectId)
  await change.audit({
    action: 'project-member.removed',
    target: memberId,
    projectId,
    before: { roles: rolesOf(rightsOf(before)) },
  })
}

/** The rights that a row holds. */
export function rightsOf({ role, roles }: { role: ProjectMember['role']; roles: Bundle[] }): ProjectRights {
  return { role, bundles: roles }
}

async function lockProjectMember(change: Change, projectId: string, memberId: string): Promise<ProjectMember> {
  const project = await lockProject(change.trx, projectId)
  await lockMember(change.trx, project.account_id, memberId)
  const member = await findProjectMember(change.trx, projectId, memberId)
  if (!member) throw notFound()
  return member
}

async function leaveTeams(change: Change, projectId: string, memberId: string): Promise<void> {
  await endTeamMembers(change.trx, { projectId, memberId }, new Date(change.nowMs))
  // One of them may have lost its owner.
  await announceProjectChange(change, projectId)
}

async function leaveRooms(change: Change, projectId: string, memberId: string): Promise<void> {
  for (const room of await deleteRoomMemberships(change.trx, projectId, memberId))
    await announceRoomChange(change, projectId, room)
}

async function findPerson(change: Change, accountId: string, person: PersonName): Promise<Member | undefined> {
  if ('userId' in person) {
    const member = await findMember(change.trx, accountId, person.userId)
    if (!member) throw notFound()
    return member
  }
  return findMemberOfAccountByEmail(change.trx, accountId, person.email)
}

async function inviteMember(change: Change, accountId: string, person: PersonName): Promise<string> {
  if ('userId' in person) throw notFound()
  const memberId = newId('mem')
  // An address signs in to one account alone, and another account's people are not seen from here.
  if (!(await insertNewMember(change.trx, { ...person, memberId, accountId, passwordHash: null, accountAdmin: false })))
    throw errorOf(errors.conflict, { message: 'This e-mail address cannot be added to this account.' })
  await change.audit({ action: 'member.created', target: memberId })
  return memberId
}
