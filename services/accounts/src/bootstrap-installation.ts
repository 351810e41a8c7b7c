import { hashCredential, type SecretBox } from '@sluice/runtime'
import { findFirstAccount, insertAccount, lockBootstrap } from './account-store.ts'
import { newId } from './api-key.ts'
import { findKeyByHash } from './api-key-store.ts'
import { type Actor, type Change, createChanges } from './change-store.ts'
import { createApiKey } from './create-api-key.ts'
import { createProject } from './create-project.ts'
import { createTeam, plainTeam } from './create-team.ts'
import type { Db } from './db/schema.ts'
import { findMemberByEmail, insertMember, type Member } from './member-store.ts'
import { hashPassword, verifyPassword } from './password.ts'
import { listProjectsOfAccount } from './project-store.ts'
import { setPassword } from './set-password.ts'
import { findTeamByName } from './team-store.ts'

/** What an installation starts with. */
export interface Installation {
  account_id: string
  admin_email: string
  member_id: string
  project_id: string
  team_id: string
  key_id: string
  api_key: string
}

export interface BootstrapDeps {
  db: Db
  box: SecretBox
  now: () => number
}

const operator = (accountId: string): Actor => ({ kind: 'operator', id: 'bootstrap', accountId })
const defaultName = 'default'

/**
 * Makes the first account with its administrator, and project, team and key `default`; what is there stays. The key's value
 * is not in the database: `keptKey` brings it back, and where it is lost there is a new key.
 */
export async function bootstrapInstallation(
  deps: BootstrapDeps,
  admin: { email: string; password: string },
  keptKey: string | undefined,
): Promise<{ installation: Installation; created: string[] }> {
  const created: string[] = []
  const changes = createChanges({ db: deps.db, now: deps.now })
  const accountId = (await findFirstAccount(deps.db)) ?? newId('acct')
  const installation = await changes.make(operator(accountId), async change => {
    await lockBootstrap(change.trx)
    const found = await findFirstAccount(change.trx)
    if (found !== undefined && found !== accountId)
      throw new Error('another bootstrap ran at the same time; run it again')
    if (found === undefined) {
      await insertAccount(change.trx, accountId, defaultName)
      await change.audit({ action: 'account.created', target: accountId })
      created.push('account')
    }
    const memberId = await ensureAdmin(change, accountId, admin, created)
    const projectId = await ensureProject(change, accountId, memberId, created)
    const teamId = await ensureTeam(change, projectId, created)
    const key = await ensureKey(deps, change, { projectId, teamId, memberId }, keptKey, created)
    return {
      account_id: accountId,
      admin_email: admin.email,
      member_id: memberId,
      project_id: projectId,
      team_id: teamId,
      key_id: key.keyId,
      api_key: key.value,
    }
  })
  return { installation, created }
}

/** The environment decides the administrator's password: where it differs, it is changed and their sessions end. */
async function ensureAdmin(
  change: Change,
  accountId: string,
  admin: { email: string; password: string },
  created: string[],
): Promise<string> {
  const known = await findMemberByEmail(change.trx, admin.email)
  if (!known) {
    const memberId = newId('mem')
    const passwordHash = await hashPassword(admin.password)
    await insertMember(change.trx, {
      memberId,
      accountId,
      email: admin.email,
      passwordHash,
      accountAdmin: true,
      operator: true,
    })
    await change.audit({ action: 'member.created', target: memberId, after: { account_admin: true, operator: true } })
    created.push('administrator')
    return memberId
  }
  requireAdminOf(known, accountId)
  if (!(await verifyPassword(admin.password, known.password_hash))) {
    await setPassword(change, known.member_id, await hashPassword(admin.password))
    created.push('password')
  }
  return known.member_id
}

function requireAdminOf(member: Member, accountId: string): void {
  if (member.account_id !== accountId || !member.account_admin)
    throw new Error(
      'SLUICE_ADMIN_EMAIL belongs to a member who does not administer this account; choose another address',
    )
}

async function ensureProject(change: Change, accountId: string, ownerId: string, created: string[]): Promise<string> {
  const projects = await listProjectsOfAccount(change.trx, accountId)
  const known = projects.find(project => project.name === defaultName) ?? projects[0]
  if (known) return known.project_id
  const project = await createProject(change, { accountId, name: defaultName, ownerId, settings: {} })
  created.push('project')
  return project.project_id
}

async function ensureTeam(change: Change, projectId: string, created: string[]): Promise<string> {
  const known = await findTeamByName(change.trx, projectId, defaultName, new Date(change.nowMs))
  if (known) return known.team_id
  created.push('team')
  return (await createTeam(change, projectId, plainTeam(defaultName), { mayBudget: false })).team_id
}

async function ensureKey(
  deps: BootstrapDeps,
  change: Change,
  owner: { projectId: string; teamId: string; memberId: string },
  keptKey: string | undefined,
  created: string[],
): Promise<{ keyId: string; value: string }> {
  const known = keptKey === undefined ? undefined : await findKeyByHash(change.trx, hashCredential(keptKey))
  if (keptKey && known?.project_id === owner.projectId && known.revoked_at_ms === undefined)
    return { keyId: known.key_id, value: keptKey }
  created.push('key')
  return createApiKey(change, deps.box, {
    projectId: owner.projectId,
    teamId: owner.teamId,
    memberId: null,
    serviceAccountId: null,
    name: defaultName,
    description: 'Made when this installation was set up',
    role: 'developer',
    models: null,
    ipRanges: null,
    expiresAt: null,
    createdBy: owner.memberId,
  })
}
