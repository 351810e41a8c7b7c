import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { ServiceName } from '@sluice/contracts'
import { write } from './home.ts'
import { StackError } from './stack-error.ts'

/** Notes where the services of this machine listen for operators, for the commands that ask them something. */
export function writeOperators(home: string, ports: Record<ServiceName, { operatorPort: number }>): void {
  const urls = Object.entries(ports).map(([name, { operatorPort }]) => [name, `http://127.0.0.1:${operatorPort}`])
  write(join(home, 'operators.json'), `${JSON.stringify(Object.fromEntries(urls), undefined, 2)}\n`)
}

/** Where a service listens for operators: `BILLING_OPERATOR_URL` and the like, else the stack of this machine. @throws StackError */
export function findOperator(service: ServiceName, env: Record<string, string | undefined>, root: string): string {
  const name = `${service.toUpperCase()}_OPERATOR_URL`
  const named = env[name]
  if (named !== undefined && named !== '') return named.replace(/\/$/, '')
  const path = join(resolve(env.SLUICE_HOME ?? join(root, '.sluice')), 'operators.json')
  try {
    const url = (JSON.parse(readFileSync(path, 'utf8')) as Record<string, string | undefined>)[service]
    if (url !== undefined) return url
  } catch {
    // Said below.
  }
  throw new StackError(
    `Where ${service} listens for operators is not known: set ${name}, or SLUICE_HOME to the home of a running stack.`,
  )
}

/** Asks an operator port. @throws StackError where it does not answer, or with an error */
export async function askOperator<Answer>(
  url: string,
  method: 'GET' | 'POST',
  accepted: readonly number[],
): Promise<{ status: number; body: Answer }> {
  let answer: Response
  try {
    answer = await fetch(url, { method })
  } catch (cause) {
    throw new StackError(`${url} does not answer: is the service running?`, { cause })
  }
  const body = (await answer.json()) as Answer & { error?: { message?: string } }
  if (!accepted.includes(answer.status))
    throw new StackError(`${url} answered ${answer.status}: ${body.error?.message ?? 'no reason given'}`)
  return { status: answer.status, body }
}
