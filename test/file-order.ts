/**
 * About how many seconds a file takes when nothing else runs; one that is not named takes few. What takes long begins
 * first: a long file that begins last leaves a core idle.
 */
const seconds: Record<string, number> = {
  'test/groups/faults-of-gateways.ts': 250,
  'test/groups/gateway-settings.ts': 230,
  'test/groups/gateway.ts': 190,
  'test/groups/units.ts': 185,
  // It takes 70, and waits for half of them: were it last, a core would wait as well.
  'test/groups/budget.ts': 175,
  'test/groups/stories.ts': 170,
  'test/groups/faults-of-stores.ts': 155,
  'test/groups/accounts.ts': 115,
  'test/groups/faults-of-pure-code.ts': 75,
  'test/groups/billing.ts': 60,
  'test/groups/gateway-journals.ts': 58,
  'test/groups/stack.ts': 52,
  'test/groups/repository.ts': 50,
  'test/groups/analytics.ts': 25,
}
/** Of a file that is not named. */
const otherSeconds = (file: string): number => (/^(test|services\/[^/]+\/test)\//.test(file) ? 10 : 1)

/** The order in which files begin. */
export function longestFirst(files: readonly string[]): string[] {
  const cost = (file: string) => seconds[file.replace(/\.test\.ts$/, '')] ?? otherSeconds(file)
  return [...files].sort((a, b) => cost(b) - cost(a) || (a < b ? -1 : 1))
}
