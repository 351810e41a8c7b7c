import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { GatewayStack } from './gateway-stack.ts'

/** Where the shared gateway keeps what is uploaded while it is looked into. */
export const spoolDir = mkdtempSync(join(tmpdir(), 'uploads-'))

let started: Promise<GatewayStack> | undefined

/**
 * The installation that test files of one process share, started with the first that asks: for those that have projects of
 * their own, neither stop nor set up the gateway, and count nothing of all its calls.
 */
export function sharedGateway(): Promise<GatewayStack> {
  started ??= GatewayStack.start(
    { after },
    {
      services: ['accounts', 'billing', 'budget', 'gateway'],
      env: { GATEWAY_BACKGROUND_POLL_MS: '100', GATEWAY_SPOOL_DIR: spoolDir },
    },
  )
  return started
}

after(() => rmSync(spoolDir, { recursive: true, force: true }))
