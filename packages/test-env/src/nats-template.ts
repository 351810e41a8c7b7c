import { cpSync, existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from '@nats-io/transport-node'
import { provisionBus, startNats } from '@sluice/stack'
import { makeFolder } from './test-folder.ts'

/** Where a test process finds the data of a server that has every stream, bucket and consumer, and nothing in them. */
export const natsTemplateVariable = 'SLUICE_TEST_NATS_TEMPLATE'

/** Makes it, for a run: to make sixty streams and consumers takes more than all else that a server's start does. */
export async function makeNatsTemplate(): Promise<{ folder: string; remove: () => void }> {
  const folder = makeFolder('nats-template')
  const server = await startNats({ dataDir: folder, durable: false })
  try {
    const admin = await connect({ servers: server.url, ...server.users.admin })
    await provisionBus(admin).finally(() => admin.close())
  } finally {
    await server.stop()
  }
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }) }
}

/** What a server begins with whose folder is `dataDir`: a copy of the run's template. @returns false where there is none */
export function copyNatsTemplate(dataDir: string): boolean {
  const template = process.env[natsTemplateVariable]
  if (template === undefined || !existsSync(template)) return false
  cpSync(join(template, 'data'), join(dataDir, 'data'), { recursive: true })
  return true
}
