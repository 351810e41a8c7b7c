import { chmodSync, rmSync } from 'node:fs'
import { startPostgres } from '@sluice/stack'
import { atProcessEnd } from './at-file-end.ts'
import { makeFolder } from './test-folder.ts'

/** Where a test process finds the server that the whole run shares. */
export const sharedPostgresVariable = 'SLUICE_TEST_POSTGRES_URL'

/** Starts the server of a run in a folder of its own; `stop` removes the folder. */
export async function startSharedPostgres(): Promise<{ url: string; stop: () => Promise<void> }> {
  const folder = makeFolder('postgres')
  chmodSync(folder, 0o711)
  // Several stacks at a time, each with a pool for every service.
  const server = await startPostgres({ dataDir: folder, durable: false, maxConnections: 500 })
  return {
    url: server.url,
    async stop() {
      await server.stop()
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

let own: Promise<{ url: string }> | undefined

/** The URL of the run's server. A file that is run alone starts one, and stops it at its end. */
export async function findSharedPostgres(): Promise<string> {
  const url = process.env[sharedPostgresVariable]
  if (url) return url
  own ??= startOwn()
  return (await own).url
}

async function startOwn(): Promise<{ url: string }> {
  const server = await startSharedPostgres()
  atProcessEnd(server.stop)
  return server
}
