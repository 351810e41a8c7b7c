import { basename, join } from 'node:path'

/** Where a test process finds the bundles of its run. */
export const bundlesVariable = 'SLUICE_TEST_BUNDLES'

const root = join(import.meta.dirname, '..', '..', '..')

/** Programs besides the services' own that are started often enough. */
const others = [
  'services/accounts/src/bootstrap.ts',
  'services/accounts/src/migrate.ts',
  'services/accounts/src/verify-audit.ts',
  'services/analytics/src/migrate.ts',
  'services/billing/src/migrate.ts',
  'services/budget/src/migrate.ts',
] as const
type Service = 'accounts' | 'analytics' | 'billing' | 'budget' | 'gateway'
type Program = (typeof others)[number] | `services/${Service}/src/main.ts`

/** The sources of what is bundled, in the order in which they are loaded, by the names of the bundles. */
export function bundledPrograms(services: readonly string[]): Record<string, readonly string[]> {
  const setup = 'packages/telemetry/src/setup.ts'
  return {
    ...Object.fromEntries(
      services.map(name => [name, [...(name === 'gateway' ? [] : [setup]), `services/${name}/src/main.ts`]]),
    ),
    ...Object.fromEntries(others.map(path => [nameOf(path), [path]])),
    simulator: ['packages/simulator/src/main.ts'],
  }
}

/** `accounts-migrate` of its `migrate.ts`; the service's own program has its name. */
function nameOf(path: string): string {
  const service = path.split('/')[1] ?? ''
  const program = basename(path, '.ts')
  return program === 'main' ? service : `${service}-${program}`
}

/** What Node starts for a program of a service: its bundle in a run, else its source. */
export function programFile(path: Program): string {
  const bundles = process.env[bundlesVariable]
  return bundles === undefined ? join(root, path) : join(bundles, `${nameOf(path)}.mjs`)
}
