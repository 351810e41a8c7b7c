import { sharedPostgresVariable, startSharedPostgres } from './shared-postgres.ts'

// `node --test --test-global-setup=packages/test-env/src/global-setup.ts`: one PostgreSQL for every test file of the run.
let stop: (() => Promise<void>) | undefined

export async function globalSetup(): Promise<void> {
  if (process.env[sharedPostgresVariable]) return
  const server = await startSharedPostgres()
  process.env[sharedPostgresVariable] = server.url
  stop = server.stop
}

export async function globalTeardown(): Promise<void> {
  await stop?.()
}
