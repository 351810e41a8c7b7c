import { PassThrough, type Readable } from 'node:stream'
import type { TestEvent } from 'node:test/reporters'

type Summary = Extract<TestEvent, { type: 'test:summary' }>['data']

/** What Node says of the tests at the end of a run. */
const counted = /^(tests|suites|pass|fail|cancelled|skipped|todo) (\d+)$/

/** The events of runs that go on side by side as those of one run: it ends with the last of them, and counts the tests of all. */
export function joinRuns(runs: readonly Readable[]): PassThrough {
  const joined = new PassThrough({ objectMode: true })
  const beganAtMs = performance.now()
  const counts = new Map<string, number>()
  const summaries: Summary[] = []

  function take(event: TestEvent): void {
    const { type, data } = event
    if (type === 'test:summary' && data.file === undefined) summaries.push(data)
    else if (type === 'test:diagnostic' && data.file === undefined) {
      const [, name, number] = counted.exec(data.message) ?? []
      if (name !== undefined) counts.set(name, (counts.get(name) ?? 0) + Number(number))
      else if (!data.message.startsWith('duration_ms ')) joined.write(event)
    } else joined.write(event)
  }

  let running = runs.length
  for (const events of runs)
    events.on('data', take).on('end', () => {
      running--
      if (running > 0) return
      const durationMs = performance.now() - beganAtMs
      for (const [name, number] of [...counts, ['duration_ms', durationMs]])
        joined.write({ type: 'test:diagnostic', data: { nesting: 0, message: `${name} ${number}`, level: 'info' } })
      joined.end({ type: 'test:summary', data: ofAll(summaries, durationMs) })
    })
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
