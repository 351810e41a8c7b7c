/**
 * About how many seconds a file takes when nothing else runs; one that is not named takes few. What takes long begins
 * first: a long file that begins last leaves a core idle.
 */
const seconds: Record<string, number> = {
  'test/groups/faults-of-stores.ts': 95,
  'test/groups/faults-of-gateways.ts': 85,
  'test/groups/gateway.ts': 75,
  'test/groups/gateway-sockets.ts': 70,
  'test/groups/faults-of-journals.ts': 65,
  'test/groups/accounts.ts': 60,
  'test/faults/gap-found': 38,
  'test/groups/units.ts': 30,
  'packages/stack/test/start': 29,
  'test/faults/slow-readers': 28,
  'services/gateway/test/calls': 26,
  'test/clients/clients': 25,
  'test/faults/aborts': 21,
  'services/gateway/test/batches': 20,
  'test/groups/gateway-limits.ts': 20,
  'test/usage-is-rebuilt': 20,
  'services/analytics/test/exactly-once': 14,
  'packages/stack/test/embedded-parts': 13,
}
/** Of a file that is not named. */
const otherSeconds = (file: string): number => (/^(test|services\/[^/]+\/test)\//.test(file) ? 10 : 1)

/** The order in which files begin. */
export function longestFirst(files: readonly string[]): string[] {
  const cost = (file: string) => seconds[file.replace(/\.test\.ts$/, '')] ?? otherSeconds(file)
  return [...files].sort((a, b) => cost(b) - cost(a) || (a < b ? -1 : 1))
}
