import { type Bus, followBucket } from '@sluice/bus'
import { type Dialect, ManagedIntegration } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'

/** The operator's own access to providers, in memory, from KV `managed-integrations`: as fresh as `keys-view.ts` says. */
export interface ManagedIntegrationsView {
  /** Undefined: what the environment says is used. */
  find: (dialect: Dialect) => ManagedIntegration | undefined
  freshAtMs: () => number
  close: () => Promise<void>
}

/** @param onChange called after one has changed or is gone */
export async function followManagedIntegrations(
  bus: Bus,
  log: Logger,
  onChange: () => void,
): Promise<ManagedIntegrationsView> {
  const view = await followBucket(bus, 'managed-integrations', ManagedIntegration, { log, onChange })
  return { find: view.get, freshAtMs: view.freshAtMs, close: view.close }
}
