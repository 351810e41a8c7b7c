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
export async function startSibling(
  at: Pick<ScenarioRun, 'scope' | 'say'>,
  stack: TestStack,
  name: string,
  env: Record<string, string> = {},
): Promise<ServiceProcess> {
  const { plan } = stack.services.gateway
  const [port, operatorPort] = [await freePort(), await freePort()]
  const home = join(stack.home, 'logs', name)
  mkdirSync(join(home, 'logs'), { recursive: true })
  const sibling = await startService(
    {
      ...plan,
      env: {
        ...plan.env,
        GATEWAY_PORT: String(port),
        GATEWAY_OPERATOR_PORT: String(operatorPort),
        GATEWAY_JOURNAL_DIR: join(stack.home, `journal-of-${name}`),
        ...env,
      },
      url: `http://127.0.0.1:${port}`,
      readyUrl: `http://127.0.0.1:${operatorPort}/health/ready`,
    },
    { home, restart: false, log: at.say },
  )
  at.scope.after(() => sibling.kill())
  return sibling
}
