import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { freePort, type ServiceProcess, startService } from '@sluice/stack'
import type { TestStack } from '@sluice/test-env'
import type { ScenarioRun } from './scenario.ts'

/**
 * Starts one more gateway of the stack, as the first one is now, but on ports and a disk of its own. Its log stands below the
 * stack's logs. It must end before the stack's stores do: whoever started it ends it.
 * @param env what it has otherwise than the first
 */
export function startSibling(
  at: Pick<ScenarioRun, 'scope' | 'say'>,
  stack: TestStack,
  name: string,
  env: Record<string, string> = {},
): Promise<ServiceProcess> {
  const GATEWAY_JOURNAL_DIR = join(stack.home, `journal-of-${name}`)
  return startAnother(at, stack, stack.services.gateway, name, { GATEWAY_JOURNAL_DIR, ...env })
}

/** Starts one more process of a service that keeps nothing on a disk of its own. */
export async function startAnother(
  at: Pick<ScenarioRun, 'scope' | 'say'>,
  stack: TestStack,
  { plan }: ServiceProcess,
  name: string,
  env: Record<string, string> = {},
): Promise<ServiceProcess> {
  const [port, operatorPort] = [await freePort(), await freePort()]
  const prefix = plan.name.toUpperCase()
  const home = join(stack.home, 'logs', name)
  mkdirSync(join(home, 'logs'), { recursive: true })
  const another = await startService(
    {
      ...plan,
      env: { ...plan.env, [`${prefix}_PORT`]: String(port), [`${prefix}_OPERATOR_PORT`]: String(operatorPort), ...env },
      url: `http://127.0.0.1:${port}`,
      readyUrl: `http://127.0.0.1:${operatorPort}/health/ready`,
    },
    { home, restart: false, log: at.say },
  )
  at.scope.after(() => another.kill())
  return another
}
