import { appendFileSync } from 'node:fs'
import { cpuSeconds } from './cpu-seconds.ts'

// Loaded before each test file of a run: what its process, and all that it had started, has used goes to the run's table.
const table = process.env.SLUICE_TEST_CPU
const [, file] = process.argv
const isToTell = table !== undefined && file !== undefined && process.env.NODE_TEST_CONTEXT !== undefined

/** What one process has used; `member`: of that, what one of the files did that share it. */
export interface UsedCpu {
  file: string
  member?: string
  seconds: number
}

let toldBefore = 0

/** What this process has used since it began, or since the member before was over, is for this one of its group. */
export function tellMember(member: string): void {
  const now = cpuSeconds(process.pid)
  if (now === undefined) return
  tell({ member, seconds: now - toldBefore })
  toldBefore = now
}

function tell(used: Omit<UsedCpu, 'file'>): void {
  if (isToTell) appendFileSync(table, `${JSON.stringify({ file, ...used } satisfies Partial<UsedCpu>)}\n`)
}

if (isToTell)
  process.on('exit', () => {
    const seconds = cpuSeconds(process.pid)
    if (seconds !== undefined) tell({ seconds })
  })
