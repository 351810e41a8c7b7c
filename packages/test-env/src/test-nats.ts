import { rmSync } from 'node:fs'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { provisionBus, type RunningNats, startNats } from '@sluice/stack'
import { copyNatsTemplate } from './nats-template.ts'
import { keepsData, makeFolder, type TestScope } from './test-folder.ts'

export interface TestNats extends RunningNats {
  /** May do everything: to look at streams and to speak as any service. */
  admin: NatsConnection
}

/**
 * A real NATS server with every stream, bucket and consumer of the contracts and a credential for each service, stopped
 * after the test. Subjects are fixed, so each test file has a server of its own: about 100 ms.
 */
export async function testNats(t: TestScope, options: { provision?: boolean; port?: number } = {}): Promise<TestNats> {
  const dataDir = makeFolder('nats')
  const isProvisioned = options.provision !== false && copyNatsTemplate(dataDir)
  const server = await startNats({
    dataDir,
    durable: false,
    ...(options.port === undefined ? {} : { port: options.port }),
  })
  let admin: NatsConnection | undefined
  t.after(async () => {
    await admin?.close()
    await server.stop()
    if (!keepsData(t)) rmSync(dataDir, { recursive: true, force: true, maxRetries: 5 })
  })
  admin = await connect({ servers: server.url, ...server.users.admin, maxReconnectAttempts: -1 })
  if (options.provision !== false && !isProvisioned) await provisionBus(admin)
  return { ...server, admin }
}
