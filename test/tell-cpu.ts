import { appendFileSync } from 'node:fs'
import { cpuSeconds } from './cpu-seconds.ts'

// Loaded before each test file of a run: what its process, and all that it had started, has used goes to the run's table.
const table = process.env.SLUICE_TEST_CPU
const [, file] = process.argv
if (table !== undefined && file !== undefined && process.env.NODE_TEST_CONTEXT !== undefined)
  process.on('exit', () => appendFileSync(table, `${JSON.stringify({ file, seconds: cpuSeconds(process.pid) })}\n`))
