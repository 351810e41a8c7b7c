import { after } from 'node:test'
import type { ServiceName } from '@sluice/contracts'
import type { ServiceProcess } from '@sluice/stack'
import { startTestStack, type TestStack, type TestStackOptions } from '@sluice/test-env'
import { signIn } from '../management.ts'
import { newProject } from '../new-project.ts'
import { readBill } from './accounts-of-a-run.ts'
import { planOf } from './mutant.ts'
import type { RunStack, StackWish } from './scenario.ts'

type Environment = Record<string, string | undefined>

/** An installation that scenarios of this process have one after the other. */
interface SharedStack {
  stack: TestStack
  services: readonly ServiceName[]
  /** PostgreSQL is its own and keeps what it has committed. */
  killable: boolean
  /** Of each service, as it was before any scenario asked for something. */
  environments: ReadonlyMap<ServiceName, Environment>
}

const all: readonly ServiceName[] = ['accounts', 'billing', 'budget', 'analytics', 'gateway']
const shared: SharedStack[] = []
const ends: (() => void | Promise<void>)[] = []

/**
 * The installation that an earlier scenario of this process has left, else a new one. Each run has a project of its own;
 * services whose environment is not as this run wants it are started again: without what was replaced in their sources too.
 */
export async function borrowStack({ preloads = {}, ...options }: StackWish = {}): Promise<RunStack> {
  const { env = {}, services = all } = options
  const killable = options.ownPostgres === true
  const left = shared.find(
    each => each.killable === killable && services.every(service => each.services.includes(service)),
  )
  const { stack, environments } = left ?? (await start(options, services, killable))
  await Promise.all(
    [...environments].map(([name, environment]) => {
      const { [name]: preload } = preloads
      const loaded = preload === undefined ? undefined : planOf(preload)
      return asWanted(stack.services[name], { ...environment, ...of(name, env), ...loaded?.env }, loaded?.imports)
    }),
  )
  const billedBefore = new Set((await readBill(stack)).map(line => line.id))
  const project = await newProject(stack, await signIn(stack), {})
  // Behind the same names as before: stores that are started again are found through it too.
  return Object.assign(Object.create(stack) as TestStack, { ...project, billedBefore })
}

/** Whoever broke a promise may have broken more: the next run has another installation. */
export function abandonStacks(): void {
  shared.length = 0
}

async function start(
  options: TestStackOptions,
  services: readonly ServiceName[],
  killable: boolean,
): Promise<SharedStack> {
  // Rows are looked at when a run is over, alerts not at all: few inserts do, and few looks into their queue.
  const env = { ANALYTICS_INSERT_WINDOW_MS: '1000', BUDGET_ALERT_POLL_MS: '5000', ...options.env }
  const stack = await startTestStack({ after: end => ends.push(end) }, { ...options, services, env })
  const asked = Object.keys(options.env ?? {})
  const environments = new Map(
    services.map(name => {
      const environment = Object.entries(stack.services[name].plan.env).filter(
        ([variable]) => !asked.includes(variable),
      )
      return [name, Object.fromEntries(environment)]
    }),
  )
  const started = { stack, services, killable, environments }
  shared.push(started)
  return started
}

async function asWanted(service: ServiceProcess, wanted: Environment, imports: string[] = []): Promise<void> {
  const { env } = service.plan
  const names = new Set([...Object.keys(env), ...Object.keys(wanted)])
  const isWanted =
    [...names].every(name => env[name] === wanted[name]) && imports.join() === (service.plan.imports ?? []).join()
  if (!isWanted) await service.stop()
  for (const name of names) delete env[name]
  Object.assign(env, wanted)
  service.plan.imports = imports
  await service.start()
  await service.untilReady()
}

function of(service: ServiceName, env: Environment): Environment {
  return Object.fromEntries(Object.entries(env).filter(([name]) => name.startsWith(`${service.toUpperCase()}_`)))
}

after(async () => {
  for (const end of ends.reverse()) await end()
})
