import { join } from 'node:path'
import { askOperator, findOperator } from './operators.ts'
import { StackError } from './stack-error.ts'

/**
 * `npm run archive [verify]`: has the running billing archive every day that is over, or read the whole archive and name what
 * is not as it was archived. Exit code 1: something is not.
 */
const root = join(import.meta.dirname, '..', '..', '..')

try {
  const [what = 'run'] = process.argv.slice(2)
  const billing = findOperator('billing', process.env, root)
  if (what === 'run') {
    const { body } = await askOperator<{ archived: string[]; dropped: string[] }>(`${billing}/archive`, 'POST', [200])
    process.stdout.write(`archived: ${body.archived.join(', ') || 'nothing new'}\n`)
    if (body.dropped.length > 0) process.stdout.write(`dropped from PostgreSQL: ${body.dropped.join(', ')}\n`)
  } else if (what === 'verify') {
    const { status, body } = await askOperator<{ days: number; segments: number; events: number; problems: string[] }>(
      `${billing}/archive/verify`,
      'POST',
      [200, 409],
    )
    if (!Array.isArray(body.problems)) throw new StackError('Billing has no archive: set SLUICE_ARCHIVE.')
    process.stdout.write(`${body.days} days, ${body.segments} segments, ${body.events} events\n`)
    for (const problem of body.problems) process.stdout.write(`${problem}\n`)
    process.stdout.write(status === 200 ? 'The archive is as it was written, and agrees with the ledger.\n' : '')
    process.exitCode = status === 200 ? 0 : 1
  } else throw new StackError('usage: npm run archive [verify]')
} catch (error) {
  if (!(error instanceof StackError)) throw error
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 1
}
