import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { relative, resolve } from 'node:path'
import type { TestEvent } from 'node:test/reporters'
import { cpuSeconds } from './cpu-seconds.ts'

interface Row {
  file: string
  beganAtMs: number
  endedAtMs: number
}

const cores = availableParallelism()

/** A reporter of `node --test`: at the end of a run, what each of its processes took, and how long cores had nothing to do. */
export default async function* filesTable(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const rows: Row[] = []
  /** By the file of the process: tests may stand in files that it imports. */
  const testsOf = new Map<string, number>()
  const beganAtMs = performance.now()
  for await (const { type, data } of source) {
    if (type === 'test:summary' && data.file !== undefined) testsOf.set(data.file, data.counts.tests)
    if (type !== 'test:complete' || data.file === undefined) continue
    // A file is a test that is named by its path, as it was given.
    if (resolve(data.name) !== data.file) continue
    const endedAtMs = performance.now()
    const file = relative(process.cwd(), data.file)
    rows.push({ file, beganAtMs: endedAtMs - data.details.duration_ms, endedAtMs })
  }
  if (rows.length < 2) return
  const cpu = readCpu()
  yield '\n    wall s    CPU s  tests\n'
  for (const row of rows.toSorted((a, b) => b.endedAtMs - b.beganAtMs - (a.endedAtMs - a.beganAtMs)))
    yield `${seconds(row.endedAtMs - row.beganAtMs)} ${told(cpu.get(row.file))} ${String(testsOf.get(resolve(row.file)) ?? '-').padStart(6)}  ${row.file}\n`
  yield `${seconds(performance.now() - beganAtMs)} ${told(cpuSeconds(process.pid))}         all, with the server that they share\n`
  yield `${seconds(tailMs(rows))}          less than ${cores} of them still ran, at the end\n`
}

/** How long at the end there was not a process for every core any more. */
function tailMs(rows: readonly Row[]): number {
  const ends = rows.map(row => row.endedAtMs).sort((a, b) => b - a)
  return (ends[0] ?? 0) - (ends[cores - 1] ?? ends.at(-1) ?? 0)
}

/** What each process has said at its end (`tell-cpu.ts`), by its file. */
function readCpu(): Map<string, number> {
  const table = process.env.SLUICE_TEST_CPU
  if (table === undefined) return new Map()
  const lines = readFileSync(table, 'utf8').split('\n').filter(Boolean)
  return new Map(
    lines.map(line => {
      const told = JSON.parse(line) as { file: string; seconds: number }
      return [relative(process.cwd(), told.file), told.seconds]
    }),
  )
}

const seconds = (ms: number): string => (ms / 1000).toFixed(1).padStart(10)
const told = (cpu: number | undefined): string => (cpu === undefined ? '-' : cpu.toFixed(1)).padStart(8)
