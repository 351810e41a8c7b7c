import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { closeInReverse } from '@sluice/test-env'
import { GatewayStack } from './gateway-stack.ts'

/** Where the shared gateway keeps what is uploaded while it is looked into. */
export const spoolDir = mkdtempSync(join(tmpdir(), 'uploads-'))

/** Batches are asked for soon, and given up soon by a gateway that is gone, as are calls whose sound goes past it. */
export const givenUpSoon = {
  GATEWAY_BATCH_POLL_MS: '100',
  GATEWAY_BATCH_LIST_MS: '500',
  GATEWAY_BATCH_LEASE_MS: '2000',
  GATEWAY_CALL_LEASE_MS: '2000',
}
/** Little of everything that has a limit, and records that are safe before anything is said. */
export const scarceAndStrict = {
  GATEWAY_MAX_DRAINS: '2',
  GATEWAY_MAX_BODY_MEMORY_MIB: '32',
  GATEWAY_MAX_SOCKETS: '3',
  GATEWAY_SOCKET_ORIGINS: 'https://app.example',
  GATEWAY_JOURNAL: 'strict',
}

/** What the test files of one process share ends with it, last begun first. */
export const sharedScope = closeInReverse({ after })
sharedScope.after(() => rmSync(spoolDir, { recursive: true, force: true }))

const started = new Map<object | undefined, Promise<GatewayStack>>()

/**
 * The installation that test files of one process share, started with the first that asks, and on it a gateway for each of the
 * settings that they ask for, and one with none. Each test has projects of its own; who counts what others do comes first, who
 * stops the gateway last (`test/groups.ts`).
 */
export function sharedGateway(settings?: Readonly<Record<string, string>>): Promise<GatewayStack> {
  const known = started.get(settings)
  if (known) return known
  const env = { GATEWAY_BACKGROUND_POLL_MS: '100', ...settings }
  const [first] = started.values()
  const gateway = first
    ? first.then(installation => installation.another(sharedScope, `gateway-${started.size}`, env))
    : GatewayStack.start(sharedScope, {
        services: ['accounts', 'billing', 'budget', 'gateway'],
        env: { GATEWAY_SPOOL_DIR: spoolDir, BUDGET_ALERT_POLL_MS: '5000', ...env },
      })
  started.set(settings, gateway)
  return gateway
}
