import { createOutbox, type Migration } from '@sluice/postgres'
import { createAccounts } from './001-create-accounts.ts'
import { createCredentials } from './002-create-credentials.ts'
import { createAudit } from './003-create-audit.ts'
import { addMemberRights } from './004-add-member-rights.ts'
import { extendTeams } from './005-extend-teams.ts'
import { createServiceAccounts } from './006-create-service-accounts.ts'
import { createKeptAnswers } from './007-create-kept-answers.ts'
import { chainAudit } from './008-chain-audit.ts'
import { createPasswordLinks } from './010-create-password-links.ts'
import { extendApiKeys } from './020-extend-api-keys.ts'
import { createRooms } from './021-create-rooms.ts'
import { extendIntegrations } from './030-extend-integrations.ts'
import { unforceTenants } from './031-unforce-tenants.ts'
import { knowLinkMakers } from './032-know-link-makers.ts'
import { grantRooms } from './040-grant-rooms.ts'
import { createOtelSettings } from './041-create-otel-settings.ts'
import { planTeamMembers } from './042-plan-team-members.ts'
import { indexAddresses } from './050-index-addresses.ts'
import { createManagedIntegrations } from './051-create-managed-integrations.ts'
import { nameRoomRoles } from './052-name-room-roles.ts'
import { deleteProjects } from './053-delete-projects.ts'
import { filterSpans } from './054-filter-spans.ts'
import { defaultTeams } from './055-default-teams.ts'
import { hearOfChanges } from './056-hear-of-changes.ts'

/** Every step of schema `accounts`, in order. */
export const migrations: readonly Migration[] = [
  createOutbox,
  createAccounts,
  createCredentials,
  createAudit,
  addMemberRights,
  extendTeams,
  createServiceAccounts,
  createKeptAnswers,
  chainAudit,
  createPasswordLinks,
  extendApiKeys,
  createRooms,
  extendIntegrations,
  unforceTenants,
  knowLinkMakers,
  grantRooms,
  createOtelSettings,
  planTeamMembers,
  indexAddresses,
  createManagedIntegrations,
  nameRoomRoles,
  deleteProjects,
  filterSpans,
  defaultTeams,
  hearOfChanges,
]

/** The one schema of this service. */
export const schemaName = 'accounts'
