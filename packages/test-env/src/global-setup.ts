import { bundlePrograms } from './bundle-programs.ts'
import { bundlesVariable } from './bundled-programs.ts'
import { sharedPostgresVariable, startSharedPostgres } from './shared-postgres.ts'

// `node --test --test-global-setup=packages/test-env/src/global-setup.ts`: for every test file of the run, one PostgreSQL, and
// the services' programs bundled.
let stop: (() => Promise<void>) | undefined

export async function globalSetup(): Promise<void> {
  process.env[bundlesVariable] ??= await bundlePrograms()
  if (process.env[sharedPostgresVariable]) return
  const server = await startSharedPostgres()
  process.env[sharedPostgresVariable] = server.url
  stop = server.stop
}

export async function globalTeardown(): Promise<void> {
  await stop?.()
}
