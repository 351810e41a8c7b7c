import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { ServiceName } from '@sluice/contracts'
import { freePort, type ManagedProvider, type RunningStack, runStack } from '@sluice/stack'
import { bundlesVariable } from './bundled-programs.ts'
import { copyNatsTemplate } from './nats-template.ts'
import { sharedPostgresVariable } from './shared-postgres.ts'
import { copyInstallation } from './stack-template.ts'
import { keepsData, makeFolder, type TestScope } from './test-folder.ts'

export interface TestStackOptions {
  /** More environment: a variable that begins with a service's name in capitals reaches that service. */
  env?: Record<string, string>
  /** Real-looking providers instead of the simulator's default. */
  providers?: { openai?: ManagedProvider; anthropic?: ManagedProvider }
  /** Default: all. */
  services?: readonly ServiceName[]
  /** A PostgreSQL of its own, to be killed; else a database on the run's shared one, where there is one. */
  ownPostgres?: boolean
  /** Stores wait for the disk: for one that is killed in the middle. Default: false, which is faster. */
  durable?: boolean
}

export interface TestStack extends RunningStack {
  /** Everything it keeps: journals, logs, stores. */
  home: string
  /** As the official clients expect it. */
  openaiBaseUrl: string
  anthropicBaseUrl: string
  /** Of the bootstrap project. */
  apiKey: string
  projectId: string
  /** Origin of the simulator: `/simulator/bill` is what it charged. */
  simulatorUrl: string
}

const root = join(import.meta.dirname, '..', '..', '..')

/**
 * Every service as a real process on free ports with the simulator as provider, on real stores. What ends by itself stays
 * ended, so that a test can kill a part and look; `stack.services.<name>.start()` brings it back. Takes a few seconds.
 */
export async function startTestStack(t: TestScope, options: TestStackOptions = {}): Promise<TestStack> {
  const home = makeFolder('stack')
  mkdirSync(join(home, 'logs'))
  const removeHome = () => {
    if (!keepsData(t)) rmSync(home, { recursive: true, force: true, maxRetries: 5 })
  }
  let stack: RunningStack | undefined
  t.after(async () => {
    await stack?.stop()
    removeHome()
  })
  // Without a run around it nobody would stop a shared one.
  const shared = options.ownPostgres ? undefined : process.env[sharedPostgresVariable]
  const bundles = process.env[bundlesVariable]
  const databaseUrls = shared ? await copyInstallation(t, shared, home) : undefined
  copyNatsTemplate(join(home, 'nats'))
  stack = await runStack({
    root,
    home,
    env: { ...process.env, SLUICE_LOG_LEVEL: 'info', SLUICE_ALLOW_PRIVATE_UPSTREAMS: '1', ...options.env },
    host: '127.0.0.1',
    port: await freePort(),
    ...(databaseUrls === undefined ? {} : { installed: { databaseUrls } }),
    providers: options.providers ?? {},
    ...(bundles === undefined ? {} : { bundles }),
    ...(options.services === undefined ? {} : { services: options.services }),
    lasting: false,
    // A run starts gateways by the hundred; what is measured without one has them as they are delivered.
    largePages: process.env[sharedPostgresVariable] === undefined,
    durable: options.durable ?? false,
    log: line => {
      if (process.env.SLUICE_TEST_LOG) process.stderr.write(`${line}\n`)
    },
  })
  // Assigned, not copied: `postgres` and `nats` change when a store is started again.
  return Object.assign(stack, {
    home,
    openaiBaseUrl: `${stack.url}/openai/v1`,
    anthropicBaseUrl: `${stack.url}/anthropic`,
    apiKey: stack.bootstrap.apiKey,
    projectId: stack.bootstrap.projectId,
    simulatorUrl: stack.simulator?.plan.url ?? '',
  })
}
