import { createRestApp, type Logger, type SecretBox, serveOpenApi } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import { enterScopes, guardRoutes } from './access.ts'
import { validateStrictly } from './body-validation.ts'
import type { Changes } from './change-store.ts'
import type { Db } from './db/schema.ts'
import { nameNotOffered } from './not-offered.ts'
import type { PasswordCost } from './password.ts'
import { registerAddProjectMember } from './routes/add-project-member.ts'
import { registerAudit } from './routes/audit.ts'
import { registerBrowserSession } from './routes/browser-session.ts'
import { registerChangeAccountMember } from './routes/change-account-member.ts'
import { registerChangeApiKey } from './routes/change-api-key.ts'
import { registerChangeProfile } from './routes/change-profile.ts'
import { registerChangeProjectMember } from './routes/change-project-member.ts'
import { registerChangeTeam } from './routes/change-team.ts'
import { registerChooseDefaultTeam } from './routes/choose-default-team.ts'
import { registerCloseTeam } from './routes/close-team.ts'
import { registerCreateApiKey } from './routes/create-api-key.ts'
import { registerCreateParticipantToken } from './routes/create-participant-token.ts'
import { registerCreateProject } from './routes/create-project.ts'
import { registerCreateTeam } from './routes/create-team.ts'
import { registerDeleteIntegration } from './routes/delete-integration.ts'
import { registerDeleteProject } from './routes/delete-project.ts'
import { registerGetConfig } from './routes/get-config.ts'
import { registerGetIntegration } from './routes/get-integration.ts'
import { registerGetProfile } from './routes/get-profile.ts'
import { registerGetProject } from './routes/get-project.ts'
import { registerGetProjectMember } from './routes/get-project-member.ts'
import { registerGetProjectRole } from './routes/get-project-role.ts'
import { registerGetProjectStatus } from './routes/get-project-status.ts'
import { registerGetTeam } from './routes/get-team.ts'
import { registerIntegrations } from './routes/integrations.ts'
import { registerListAccountMembers } from './routes/list-account-members.ts'
import { registerListApiKeys } from './routes/list-api-keys.ts'
import { registerListProjectMembers } from './routes/list-project-members.ts'
import { registerListProjects } from './routes/list-projects.ts'
import { registerListTeams } from './routes/list-teams.ts'
import { registerManagedIntegrations } from './routes/managed-integrations.ts'
import { registerOtelSettings } from './routes/otel-settings.ts'
import { registerPasswords } from './routes/passwords.ts'
import { registerProjectSettings } from './routes/project-settings.ts'
import { registerPutIntegration } from './routes/put-integration.ts'
import { registerRemoveProjectMember } from './routes/remove-project-member.ts'
import { registerRevokeApiKey } from './routes/revoke-api-key.ts'
import { registerRoomGrants } from './routes/room-grants.ts'
import { registerRoomMembers } from './routes/room-members.ts'
import { registerRooms } from './routes/rooms.ts'
import { registerRouterSettings } from './routes/router-settings.ts'
import { registerServiceAccountApiKeys } from './routes/service-account-api-keys.ts'
import { registerServiceAccounts } from './routes/service-accounts.ts'
import { registerSignIn } from './routes/sign-in.ts'
import { registerSignOut } from './routes/sign-out.ts'
import { registerTeamCostCentres } from './routes/team-cost-centres.ts'
import { registerTeamMembers } from './routes/team-members.ts'
import { registerTestAccess } from './routes/test-access.ts'
import { registerTestIntegration } from './routes/test-integration.ts'
import { registerValidateParticipantToken } from './routes/validate-participant-token.ts'
import type { SendSpans } from './send-spans.ts'
import type { SignInDevices } from './sign-in-device.ts'
import type { SignInThrottle } from './sign-in-throttle.ts'
import type { TestIntegration } from './test-integration.ts'

export interface AppDeps {
  db: Db
  changes: Changes
  box: SecretBox
  throttle: SignInThrottle
  devices: SignInDevices
  passwordCost: PasswordCost
  now: () => number
  log: Logger
  /** The one public origin, as clients write it. */
  publicUrl: string
  allowPrivateUpstreams: boolean
  /** Ranges of the gateways' addresses. */
  trustedProxies: readonly string[]
  testIntegration: TestIntegration
  sendSpans: SendSpans
}

/** The routes of the control plane. Opens nothing, listens to nothing. */
export function buildApp(deps: AppDeps): FastifyInstance {
  const app = createRestApp(deps.log, deps.trustedProxies, nameNotOffered)
  validateStrictly(app)
  guardRoutes(app, deps)
  enterScopes(app)
  serveOpenApi(app, '/accounts/openapi.json', 'Sluice accounts')

  registerSignIn(app, deps)
  registerSignOut(app, deps)
  registerBrowserSession(app, deps)
  registerPasswords(app, deps)
  registerGetProfile(app, deps)
  registerChangeProfile(app, deps)
  registerListAccountMembers(app, deps)
  registerChangeAccountMember(app, deps)
  registerListProjects(app, deps)
  registerCreateProject(app, deps)
  registerGetProject(app, deps)
  registerDeleteProject(app, deps)
  registerGetProjectStatus(app, deps)
  registerGetProjectRole(app, deps)
  registerListProjectMembers(app, deps)
  registerGetProjectMember(app, deps)
  registerAddProjectMember(app, deps)
  registerChangeProjectMember(app, deps)
  registerRemoveProjectMember(app, deps)
  registerTestAccess(app, deps)
  registerListApiKeys(app, deps)
  registerCreateApiKey(app, deps)
  registerChangeApiKey(app, deps)
  registerRevokeApiKey(app, deps)
  registerServiceAccounts(app, deps)
  registerServiceAccountApiKeys(app, deps)
  registerListTeams(app, deps)
  registerCreateTeam(app, deps)
  registerGetTeam(app, deps)
  registerChangeTeam(app, deps)
  registerCloseTeam(app, deps)
  registerTeamCostCentres(app, deps)
  registerTeamMembers(app, deps)
  registerChooseDefaultTeam(app, deps)
  registerProjectSettings(app, deps)
  registerGetIntegration(app, deps)
  registerPutIntegration(app, deps)
  registerDeleteIntegration(app, deps)
  registerIntegrations(app, deps)
  registerTestIntegration(app, deps)
  registerManagedIntegrations(app, deps)
  registerRouterSettings(app, deps)
  registerOtelSettings(app, deps)
  registerRooms(app, deps)
  registerRoomMembers(app, deps)
  registerRoomGrants(app, deps)
  registerCreateParticipantToken(app, deps)
  registerValidateParticipantToken(app, deps)
  registerAudit(app, deps)
  registerGetConfig(app, deps)
  return app
}
