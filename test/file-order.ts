/**
 * About how many seconds a file takes when nothing else runs; one that is not named takes few. What takes long begins
 * first: a long file that begins last leaves a core idle.
 */
const seconds: Record<string, number> = {
  'test/groups/faults-of-gateways.ts': 111,
  'test/groups/accounts.ts': 100,
  'test/groups/gateway-sockets.ts': 103,
  'test/groups/faults-of-journals.ts': 100,
  'test/groups/faults-of-stores.ts': 86,
  'test/groups/stories.ts': 75,
  'test/groups/gateway-batches.ts': 70,
  'test/groups/gateway.ts': 66,
  'services/gateway/test/access': 55,
  'test/groups/gateway-journals.ts': 45,
  'test/groups/billing.ts': 45,
  'services/gateway/test/calls': 40,
  'test/faults/gap-found': 38,
  'test/groups/units.ts': 32,
  'packages/stack/test/start': 29,
  'packages/stack/test/embedded-parts': 28,
  'test/groups/budget.ts': 26,
  'test/groups/gateway-limits.ts': 25,
  'test/usage-is-rebuilt': 20,
  'services/analytics/test/exactly-once': 18,
  'services/analytics/test/routes': 16,
}
/** Of a file that is not named. */
const otherSeconds = (file: string): number => (/^(test|services\/[^/]+\/test)\//.test(file) ? 10 : 1)

/** The order in which files begin. */
export function longestFirst(files: readonly string[]): string[] {
  const cost = (file: string) => seconds[file.replace(/\.test\.ts$/, '')] ?? otherSeconds(file)
  return [...files].sort((a, b) => cost(b) - cost(a) || (a < b ? -1 : 1))
}
