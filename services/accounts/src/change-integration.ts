import type { Dialect } from '@sluice/contracts'
import { errorOf, type SecretBox } from '@sluice/runtime'
import type { Change } from './change-store.ts'
import { errors, notFound } from './errors.ts'
import { applyIntegration, auditedIntegration, type IntegrationRequest, type StoredIntegration } from './integration.ts'
import { countIntegrations, deleteIntegration, findIntegrationInTheWay, putIntegration } from './integration-store.ts'
import { announceProjectChange } from './project-store.ts'
import { hasTeam } from './team-store.ts'

/** Which project and provider an integration is of, and who may tell it where gateways keep credentials. */
export interface IntegrationPlace {
  projectId: string
  dialect: Dialect
  isOperator: boolean
}

/**
 * Makes or changes an integration; the project is locked. An integration that takes its credential from the gateways'
 * environment or files is the operator's: else whoever may change its address would have it sent to themselves.
 * @throws AppError 400, 403, 409
 */
export async function setIntegration(
  change: Change,
  box: SecretBox,
  { projectId, dialect, isOperator }: IntegrationPlace,
  before: StoredIntegration | undefined,
  wanted: IntegrationRequest,
): Promise<StoredIntegration> {
  if ((wanted.credentialFrom ?? before?.credentialFrom) && !isOperator)
    throw errorOf(errors.forbidden, {
      message: 'Only an operator sets or changes an integration whose credential stands with the gateways.',
    })
  if (wanted.teamId !== null && !(await hasTeam(change.trx, projectId, wanted.teamId)))
    throw errorOf(errors.invalidRequest, { message: 'team_id names no team of this project.' })
  const after = applyIntegration(box, projectId, dialect, before, wanted, new Date(change.nowMs))
  if (!after)
    throw errorOf(errors.invalidRequest, {
      message: 'Send api_key, base_url or both. To use the managed credential again, DELETE this resource.',
    })
  if (!before)
    await change.limits.requireRoom('integrations', projectId, () => countIntegrations(change.trx, projectId))
  const inTheWay = await findIntegrationInTheWay(change.trx, projectId, after)
  if (inTheWay) throw errorOf(inTheWay === 'name' ? errors.conflict : errors.integrationInTheWay)
  await putIntegration(change.trx, projectId, after)
  await announceProjectChange(change, projectId)
  await change.audit({
    action: before ? 'integration.changed' : 'integration.created',
    target: after.integrationId,
    projectId,
    before: auditedIntegration(before),
    after: { ...auditedIntegration(after), api_key_replaced: after.envelope !== before?.envelope },
  })
  return after
}

/** Takes an integration away; the project is locked. @throws AppError 404 where there is none */
export async function removeIntegration(
  change: Change,
  projectId: string,
  before: StoredIntegration | undefined,
): Promise<void> {
  if (!before) throw notFound()
  await deleteIntegration(change.trx, projectId, before.integrationId)
  await announceProjectChange(change, projectId)
  await change.audit({
    action: 'integration.deleted',
    target: before.integrationId,
    projectId,
    before: auditedIntegration(before),
  })
}
