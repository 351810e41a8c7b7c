import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { relative, resolve } from 'node:path'
import type { TestEvent } from 'node:test/reporters'
import { cpuSeconds } from './cpu-seconds.ts'
import type { UsedCpu } from './tell-cpu.ts'

interface Row {
  file: string
  beganAtMs: number
  endedAtMs: number
}

const cores = availableParallelism()
/** Of the files of a group, those are told that take more. */
const muchCpuSeconds = 3

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
    yield `${seconds(row.endedAtMs - row.beganAtMs)} ${told(cpu.get(row.file)?.seconds)} ${String(testsOf.get(resolve(row.file)) ?? '-').padStart(6)}  ${row.file}\n${membersOf(cpu.get(row.file))}`
  const all = cpuSeconds(process.pid)
  const { user, system } = process.cpuUsage()
  const own = (user + system) / 1e6
  const ofFiles = [...cpu.values()].reduce((sum, file) => sum + (file.seconds ?? 0), 0)
  yield `${' '.repeat(11)}${told(own)}         this process\n`
  if (all !== undefined)
    yield `${' '.repeat(11)}${told(all - own - ofFiles)}         PostgreSQL, and what makes it and the bundles\n`
  yield `${seconds(performance.now() - beganAtMs)} ${told(all)}         all\n`
  yield `${seconds(tailMs(rows))}          less than ${cores} of them still ran, at the end\n`
}

/** How long at the end there was not a process for every core any more. */
function tailMs(rows: readonly Row[]): number {
  const ends = rows.map(row => row.endedAtMs).sort((a, b) => b - a)
  return (ends[0] ?? 0) - (ends[cores - 1] ?? ends.at(-1) ?? 0)
}

interface FileCpu {
  seconds: number | undefined
  members: { member: string; seconds: number }[]
}

/** What each process has said (`tell-cpu.ts`), by its file. */
function readCpu(): Map<string, FileCpu> {
  const table = process.env.SLUICE_TEST_CPU
  const byFile = new Map<string, FileCpu>()
  if (table === undefined) return byFile
  for (const line of readFileSync(table, 'utf8').split('\n').filter(Boolean)) {
    const told = JSON.parse(line) as UsedCpu
    const file = relative(process.cwd(), told.file)
    const { seconds, members } = byFile.get(file) ?? { seconds: undefined, members: [] }
    if (told.member === undefined) byFile.set(file, { seconds: told.seconds, members })
    else byFile.set(file, { seconds, members: [...members, { member: told.member, seconds: told.seconds }] })
  }
  return byFile
}

function membersOf(cpu: FileCpu | undefined): string {
  const large = (cpu?.members ?? []).filter(({ seconds }) => seconds >= muchCpuSeconds)
  return large
    .toSorted((a, b) => b.seconds - a.seconds)
    .map(({ member, seconds }) => `${' '.repeat(11)}${told(seconds)}           ${member}\n`)
    .join('')
}

const seconds = (ms: number): string => (ms / 1000).toFixed(1).padStart(10)
const told = (cpu: number | undefined): string => (cpu === undefined ? '-' : cpu.toFixed(1)).padStart(8)
