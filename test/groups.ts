import { globSync } from 'node:fs'
import { basename, join } from 'node:path'
import { tellMember } from './tell-cpu.ts'

/**
 * Test files that share a process each, which loads once what a process for every file would load a hundred times: those
 * beside what they test, which start nothing of their own, those that start small parts, and those that share an
 * installation. Files that measure their process, change it or take long have one of their own.
 */
const groups: Record<string, readonly string[]> = {
  // The first of these wants counters at zero, the second the provider's bill empty, the last but
  // one leaves letters that nobody can read, the last usage of gateways that nobody has heard of.
  stories: [
    'test/alerts.test.ts',
    'test/spend-is-billed.test.ts',
    'test/secrets.test.ts',
    'test/budget-stops-traffic.test.ts',
    'test/budgets-by-scope.test.ts',
    'test/alerts-and-credit.test.ts',
    'test/hard-budgets.test.ts',
    'test/limits-explained.test.ts',
    'test/asking-for-more.test.ts',
    'test/company.test.ts',
    'test/audited.test.ts',
    'test/clients/clients.test.ts',
    'test/clients/refusals.test.ts',
    'test/crawl.test.ts',
    'test/dead-letters.test.ts',
    'test/told-apart.test.ts',
  ],
  gateway: [
    'services/gateway/test/waiting-calls.test.ts',
    'services/gateway/test/paths.test.ts',
    'services/gateway/test/media.test.ts',
    'services/gateway/test/sockets-models.test.ts',
    'services/gateway/test/sockets.test.ts',
    'services/gateway/test/stored-killed.test.ts',
  ],
  // Gateways with settings of their own on one installation. The first of these wants no batch of others to run. The last has a
  // gateway that trusts no address of this machine, where the providers of all others are: it begins when they have ended.
  'gateway-settings': [
    'services/gateway/test/batches.test.ts',
    'services/gateway/test/batches-altered.test.ts',
    'services/gateway/test/realtime-calls-held.test.ts',
    'services/gateway/test/calls.test.ts',
    'services/gateway/test/drains.test.ts',
    'services/gateway/test/sockets-settings.test.ts',
    'services/gateway/test/sockets-secured.test.ts',
    'services/gateway/test/access.test.ts',
  ],
  // The first of these prints what a call costs.
  'gateway-journals': [
    'services/gateway/test/journal-cost.test.ts',
    'services/gateway/test/journal.test.ts',
    'services/gateway/test/journal-bus-away.test.ts',
    'services/gateway/test/journal-copy.test.ts',
    'services/gateway/test/journal-disk.test.ts',
    'services/gateway/test/journal-killed.test.ts',
    'services/gateway/test/journal-replay.test.ts',
    'services/gateway/test/journal-replicated.test.ts',
    'services/gateway/test/refused-and-heartbeat.test.ts',
    'services/gateway/test/usage-refused.test.ts',
  ],
  // Those that want no number of any gateway missing come first, those with settings of their own last.
  'faults-of-gateways': [
    'test/faults/gateway-killed.test.ts',
    'test/faults/replicated.test.ts',
    'test/faults/rolling-restart.test.ts',
    'test/faults/revoked-everywhere.test.ts',
    'test/faults/aborts.test.ts',
    'test/faults/hard-budget-live.test.ts',
    'test/faults/paced-live.test.ts',
    'test/faults/calls-local.test.ts',
    'test/demo/demo.test.ts',
    'test/faults/long-think.test.ts',
    'test/faults/slow-readers.test.ts',
    'test/faults/power-lost.test.ts',
    'test/faults/strict-journal.test.ts',
    'test/faults/journal-full.test.ts',
  ],
  // The first has an installation of its own, which is gone when the others begin.
  'faults-of-stores': [
    'test/usage-is-rebuilt.test.ts',
    'test/faults/nats-down.test.ts',
    'test/faults/nats-killed.test.ts',
    'test/faults/postgres-killed.test.ts',
    'test/faults/clickhouse-down.test.ts',
    // It leaves gaps, and a stream that takes no more.
    'test/faults/gap-found.test.ts',
  ],
  'faults-of-pure-code': [
    'test/faults/leases-hold.test.ts',
    'test/faults/lease-model.test.ts',
    'test/faults/streams-fuzzed.test.ts',
    'test/faults/ratings-add-up.test.ts',
  ],
  // What the files of the repository say, and what its programs make of them.
  repository: [
    'test/arrows.test.ts',
    'test/deploy-files.test.ts',
    'test/join-runs.test.ts',
    'test/start-loads.test.ts',
  ],
  // Each starts programs of its own.
  stack: ['packages/stack/test/*.test.ts'],
  units: [
    'packages/*/src/**/*.test.ts',
    'packages/{postgres,pricing,simulator}/test/*.test.ts',
    'services/*/src/**/*.test.ts',
    'services/gateway/test/journal-leases.test.ts',
    'test/faults/compare.test.ts',
    'test/faults/mutants.test.ts',
    'test/faults/overshoot.test.ts',
    'test/faults/power-cut.test.ts',
  ],
  accounts: ['services/accounts/test/*.test.ts'],
  analytics: ['services/analytics/test/*.test.ts'],
  budget: ['services/budget/test/*.test.ts'],
  billing: ['services/billing/test/*.test.ts'],
}
const root = join(import.meta.dirname, '..')

/** The file that runs each group. */
export const groupFiles = Object.keys(groups).map(name => `test/groups/${name}.ts`)

/** The test files of one group, or of all of them. */
export function filesOfGroups(name?: string): string[] {
  const patterns = name === undefined ? Object.values(groups).flat() : (groups[name] ?? [])
  return patterns.flatMap(pattern => globSync(pattern, { cwd: root, exclude: ['**/node_modules/**'] }).sort())
}

/** Runs a group in this process: `file` is the one of {@link groupFiles} that runs. */
export async function runGroup(file: string): Promise<void> {
  if (process.env.NODE_TEST_CONTEXT === undefined) return
  const { loadFiles } = await import('@sluice/test-env')
  await loadFiles(filesOfGroups(basename(file, '.ts')), member => import(join(root, member)), tellMember)
}
