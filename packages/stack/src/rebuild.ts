import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { askOperator, findOperator } from './operators.ts'
import { StackError } from './stack-error.ts'

/**
 * `npm run rebuild analytics|budgets`: has the running service fill ClickHouse, or count its budgets, again from billing's usage
 * log, and shows how far it is. Ending the command does not end the rebuild: give it again to see it.
 */
interface Progress {
  phase: string
  after: string
  head: number
  batches: number
  events: number
  adjustments: number
  problem: string | null
}

const services = { analytics: 'analytics', budgets: 'budget' } as const
const root = join(import.meta.dirname, '..', '..', '..')

try {
  const [what = ''] = process.argv.slice(2)
  if (what !== 'analytics' && what !== 'budgets') throw new StackError('usage: npm run rebuild analytics|budgets')
  const url = `${findOperator(services[what], process.env, root)}/rebuild`
  let { body: progress } = await askOperator<Progress>(url, 'POST', [202])
  for (let shown = ''; ; ) {
    const line = describe(progress)
    if (line !== shown) process.stdout.write(`${line}\n`)
    shown = line
    if (progress.phase === 'done') break
    await delay(500)
    progress = (await askOperator<Progress>(url, 'GET', [200])).body
  }
} catch (error) {
  if (!(error instanceof StackError)) throw error
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 1
}

function describe(progress: Progress): string {
  const { phase, after, head, batches, events, adjustments, problem } = progress
  const share = phase === 'usage' && head > 0 ? ` ${Math.min(100, Math.floor((Number(after) * 100) / head))} %` : ''
  const stands = problem === null ? '' : `; it stands still: ${problem}`
  return `${phase}${share}: ${batches} batches, ${events} events, ${adjustments} corrections${stands}`
}
