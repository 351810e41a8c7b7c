/**
 * About how many seconds a file takes when nothing else runs; one that is not named takes few. What takes long begins
 * first: a long file that begins last leaves a core idle.
 */
const seconds: Record<string, number> = {
  'test/groups/gateway.ts': 75,
  'test/faults/gateway-killed': 42,
  'test/faults/gap-found': 38,
  'test/faults/power-lost': 36,
  'test/faults/clickhouse-down': 31,
  'test/groups/units.ts': 30,
  'packages/stack/test/start': 29,
  'test/faults/slow-readers': 28,
  'test/faults/nats-down': 27,
  'services/gateway/test/stored-killed': 26,
  'services/gateway/test/calls': 26,
  'test/faults/journal-full': 25,
  'test/clients/clients': 25,
  'test/faults/postgres-killed': 23,
  'test/faults/aborts': 21,
  'services/gateway/test/batches': 20,
  'test/faults/rolling-restart': 20,
  'test/usage-is-rebuilt': 20,
  'services/gateway/test/sockets': 18,
  'test/faults/long-think': 15,
  'test/faults/nats-killed': 14,
  'services/analytics/test/exactly-once': 14,
  'packages/stack/test/embedded-parts': 13,
  'services/gateway/test/drains': 13,
  'test/faults/strict-journal': 12,
}
/** Of a file that is not named. */
const otherSeconds = (file: string): number => (/^(test|services\/[^/]+\/test)\//.test(file) ? 10 : 1)

/** The order in which files begin. */
export function longestFirst(files: readonly string[]): string[] {
  const cost = (file: string) => seconds[file.replace(/\.test\.ts$/, '')] ?? otherSeconds(file)
  return [...files].sort((a, b) => cost(b) - cost(a) || (a < b ? -1 : 1))
}
