import { Readable } from 'node:stream'
import type { TestEvent } from 'node:test/reporters'

type Summary = Extract<TestEvent, { type: 'test:summary' }>['data']

/** What Node says of the tests at the end of a run. */
const counted = /^(tests|suites|pass|fail|cancelled|skipped|todo) (\d+)$/

/** What a reporter takes for one tree of tests: a run tells it file by file, in order. */
const ordered = new Set<TestEvent['type']>(['test:start', 'test:pass', 'test:fail', 'test:plan', 'test:diagnostic'])

/**
 * The events of runs that go on side by side as those of one run: it ends with the last of them, and counts the tests of all. What
 * is told in order of a run follows that of the one before it.
 */
export function joinRuns(runs: readonly Readable[]): Readable {
  // As Node's own: reporters of one stream do not wait for each other.
  const joined = new Readable({ objectMode: true, highWaterMark: Number.MAX_SAFE_INTEGER, read() {} })
  const beganAtMs = performance.now()
  const counts = new Map<string, number>()
  const summaries: Summary[] = []
  const waiting = runs.map((): TestEvent[] => [])
  const ended = new Set<number>()
  let telling = 0

  function take(event: TestEvent, at: number): void {
    const { type, data } = event
    if (type === 'test:summary' && data.file === undefined) summaries.push(data)
    else if (type === 'test:diagnostic' && data.file === undefined && isCounted(data.message)) return
    else if (at !== telling && ordered.has(type)) waiting[at]?.push(event)
    else joined.push(event)
  }

  function isCounted(message: string): boolean {
    const [, name, number] = counted.exec(message) ?? []
    if (name !== undefined) counts.set(name, (counts.get(name) ?? 0) + Number(number))
    return name !== undefined || message.startsWith('duration_ms ')
  }

  function end(at: number): void {
    ended.add(at)
    while (ended.has(telling)) {
      telling++
      for (const event of waiting[telling] ?? []) joined.push(event)
    }
    if (telling < runs.length) return
    const durationMs = performance.now() - beganAtMs
    for (const [name, number] of [...counts, ['duration_ms', durationMs]])
      joined.push({ type: 'test:diagnostic', data: { nesting: 0, message: `${name} ${number}`, level: 'info' } })
    joined.push({ type: 'test:summary', data: ofAll(summaries, durationMs) })
    joined.push(null)
  }

  for (const [at, events] of runs.entries())
    events.on('data', (event: TestEvent) => take(event, at)).on('end', () => end(at))
  return joined
}

function ofAll(summaries: readonly Summary[], durationMs: number): Omit<Summary, 'file'> {
  const sum = (name: keyof Summary['counts']) => summaries.reduce((all, { counts }) => all + (counts[name] ?? 0), 0)
  const names = [...new Set(summaries.flatMap(({ counts }) => Object.keys(counts) as (keyof Summary['counts'])[]))]
  return {
    success: summaries.every(({ success }) => success),
    counts: Object.fromEntries(names.map(name => [name, sum(name)])) as unknown as Summary['counts'],
    duration_ms: durationMs,
  }
}
