import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { askOperator, findOperator } from './operators.ts'
import { StackError } from './stack-error.ts'

/**
 * `npm run rebuild [analytics|budgets]`: has the running services fill ClickHouse and count budgets again from billing's usage
 * log, or one of them, and shows how far they are. Ending the command does not end a rebuild: give it again to see it. Exit
 * code 1: one of them did not get to its end.
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
type Rebuilt = keyof typeof services
const root = join(import.meta.dirname, '..', '..', '..')

try {
  const followed = await Promise.allSettled(chosen(process.argv.slice(2)).map(rebuild))
  for (const { reason } of followed.filter(one => one.status === 'rejected')) fail(reason)
} catch (error) {
  fail(error)
}

function chosen(args: readonly string[]): readonly Rebuilt[] {
  const all = Object.keys(services) as Rebuilt[]
  const named = all.filter(name => name === args[0])
  if (args.length > 1 || (args.length === 1 && named.length === 0))
    throw new StackError('usage: npm run rebuild [analytics|budgets]; without a name, both')
  return args.length === 0 ? all : named
}

async function rebuild(what: Rebuilt): Promise<void> {
  const url = `${findOperator(services[what], process.env, root)}/rebuild`
  let { body: progress } = await askOperator<Progress>(url, 'POST', [202])
  for (let shown = ''; ; ) {
    const line = `${what}: ${describe(progress)}\n`
    if (line !== shown) process.stdout.write(line)
    shown = line
    if (progress.phase === 'done') break
    await delay(500)
    progress = (await askOperator<Progress>(url, 'GET', [200])).body
  }
}

function describe(progress: Progress): string {
  const { phase, after, head, batches, events, adjustments, problem } = progress
  const share = phase === 'usage' && head > 0 ? ` ${Math.min(100, Math.floor((Number(after) * 100) / head))} %` : ''
  const stands = problem === null ? '' : `; it stands still: ${problem}`
  return `${phase}${share}: ${batches} batches, ${events} events, ${adjustments} corrections${stands}`
}

function fail(error: unknown): void {
  if (!(error instanceof StackError)) throw error
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 1
}
