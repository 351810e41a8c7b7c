import { bundlePrograms } from './bundle-programs.ts'
import { bundlesVariable } from './bundled-programs.ts'
import { makeNatsTemplate, natsTemplateVariable } from './nats-template.ts'
import { sharedPostgresVariable, startSharedPostgres } from './shared-postgres.ts'

// `node --test --test-global-setup=packages/test-env/src/global-setup.ts`: for every test file of the run, one PostgreSQL, what
// NATS servers begin with, and the services' programs bundled.
const ends: (() => void | Promise<void>)[] = []

export async function globalSetup(): Promise<void> {
  process.env[bundlesVariable] ??= await bundlePrograms()
  if (process.env[natsTemplateVariable] === undefined) {
    const { folder, remove } = await makeNatsTemplate()
    process.env[natsTemplateVariable] = folder
    ends.push(remove)
  }
  if (process.env[sharedPostgresVariable]) return
  const server = await startSharedPostgres()
  process.env[sharedPostgresVariable] = server.url
  ends.push(server.stop)
}

export async function globalTeardown(): Promise<void> {
  for (const end of ends) await end()
}
