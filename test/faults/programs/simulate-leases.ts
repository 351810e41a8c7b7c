/** Simulates whole lives of hard budgets. Prints the outcome as JSON. */
import { simulate } from '@sluice/leases/simulation'
import { runSchedules, type Schedules } from './lease-schedules.ts'

const asked = JSON.parse(process.argv[2] ?? '{}') as Schedules
process.stdout.write(`${JSON.stringify(runSchedules(simulate, asked))}\n`)
