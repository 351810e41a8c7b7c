import { type Dialect, installationProject } from '@sluice/contracts'
import { errorOf, type SecretBox } from '@sluice/runtime'
import { announceManagedIntegration, withdraw } from './announcement.ts'
import type { Change } from './change-store.ts'
import { errors, notFound } from './errors.ts'
import { applyIntegration, auditedIntegration, type IntegrationRequest, type StoredIntegration } from './integration.ts'
import {
  deleteManagedIntegration,
  findManagedIntegration,
  lockManagedIntegrations,
  putManagedIntegration,
  type StoredManagedIntegration,
  toManagedDocument,
} from './managed-integration-store.ts'

/** Sets the operator's own access to a provider. @throws AppError 400 */
export async function setManagedIntegration(
  change: Change,
  box: SecretBox,
  dialect: Dialect,
  wanted: Omit<IntegrationRequest, 'name' | 'teamId' | 'standby'>,
): Promise<StoredManagedIntegration> {
  await lockManagedIntegrations(change.trx)
  const before = await findManagedIntegration(change.trx, dialect)
  const request = { ...wanted, name: 'managed', teamId: null, standby: false }
  const applied = applyIntegration(box, installationProject, dialect, before, request, new Date(change.nowMs))
  if (!applied)
    throw errorOf(errors.invalidRequest, {
      message:
        'Send api_key, api_key_from, base_url or several of them. To use what the gateways have in their environment again, DELETE this resource.',
    })
  const after = { ...applied, version: (before?.version ?? 0) + 1 }
  await putManagedIntegration(change.trx, after)
  await change.announce([announceManagedIntegration(toManagedDocument(after))])
  await change.audit({
    action: before ? 'managed-integration.changed' : 'managed-integration.created',
    target: dialect,
    before: audited(before),
    after: { ...audited(after), api_key_replaced: after.envelope !== before?.envelope },
  })
  return after
}

/** Takes it away: gateways use what their environment says. @throws AppError 404 where there is none */
export async function removeManagedIntegration(change: Change, dialect: Dialect): Promise<void> {
  await lockManagedIntegrations(change.trx)
  const before = await findManagedIntegration(change.trx, dialect)
  if (!before) throw notFound()
  await deleteManagedIntegration(change.trx, dialect)
  await change.announce([withdraw('managed-integrations', dialect)])
  await change.audit({ action: 'managed-integration.deleted', target: dialect, before: audited(before) })
}

function audited(integration: StoredIntegration | undefined) {
  if (!integration) return undefined
  const { name: _name, team_id: _team, standby: _standby, ...said } = auditedIntegration(integration) ?? {}
  return said
}
