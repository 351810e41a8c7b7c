/**
 * About how many seconds a file takes when nothing else runs; one that is not named takes few. What takes long begins
 * first: a long file that begins last leaves a core idle.
 */
const seconds: Record<string, number> = {
  'test/groups/gateway-settings.ts': 150,
  'test/groups/faults-of-gateways.ts': 150,
  'test/groups/gateway.ts': 140,
  'test/groups/stories.ts': 95,
  'test/groups/faults-of-stores.ts': 88,
  'test/groups/accounts.ts': 84,
  'test/groups/billing.ts': 58,
  'test/groups/stack.ts': 55,
  'test/groups/gateway-journals.ts': 41,
  'test/groups/budget.ts': 40,
  'test/groups/units.ts': 39,
  'test/groups/analytics.ts': 26,
  'test/groups/faults-of-pure-code.ts': 20,
  'test/groups/repository.ts': 8,
}
/** Of a file that is not named. */
const otherSeconds = (file: string): number => (/^(test|services\/[^/]+\/test)\//.test(file) ? 10 : 1)

/** The order in which files begin. */
export function longestFirst(files: readonly string[]): string[] {
  const cost = (file: string) => seconds[file.replace(/\.test\.ts$/, '')] ?? otherSeconds(file)
  return [...files].sort((a, b) => cost(b) - cost(a) || (a < b ? -1 : 1))
}
