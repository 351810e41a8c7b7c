import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '@sluice/stack'
import { startTestStack, type TestStack } from '@sluice/test-env'
import { startMarks } from './billing-marks.ts'
import { type Route, routes } from './nginx.ts'
import { mostSockets, pinTree, startPinned, stopProcess, targetCore, until } from './processes.ts'
import { answers, type Ground, type Target } from './targets.ts'

const path = '/openai/v1/chat/completions'
const socketPath = '/openai/v1/responses'
/** The same process, with other budgets. */
const leasedName = 'gateway, hard'
/** With TLS to its provider alone, as a gateway that cannot listen with it. */
const plainName = 'gateway, plain to the client'

/** Signs in as the administrator and speaks JSON. */
async function administrator(stack: TestStack) {
  const send = async <T>(method: string, where: string, body: object, token = ''): Promise<T> => {
    const response = await fetch(`${stack.url}${where}`, {
      method,
      headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
      body: JSON.stringify(body),
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`${method} ${where}: ${response.status} ${text}`)
    return JSON.parse(text) as T
  }
  const session = await send<{ access_token: string }>('POST', '/accounts/sign-in', stack.admin)
  return <T>(method: string, where: string, body: object) => send<T>(method, where, body, session.access_token)
}

/** A project whose provider is one port of the mock, with a key of a team and eight budgets on its calls. */
async function makeProject(
  admin: Awaited<ReturnType<typeof administrator>>,
  route: Route,
  baseUrl: string,
  mode: 'soft' | 'hard' = 'soft',
): Promise<string> {
  const project = await admin<{ id: string }>('POST', '/accounts/projects', { name: `bench-${route}-${mode}` })
  const at = `/accounts/projects/${project.id}`
  const team = await admin<{ id: string }>('POST', `${at}/teams`, { name: 'bench' })
  await admin('PUT', `${at}/settings/openai`, { api_key: 'sk-bench', base_url: baseUrl })
  const key = await admin<{ id: string; value: string }>('POST', `${at}/api-keys`, { name: 'bench', team_id: team.id })
  const limits = { unit: 'usd', limit: '1000000', mode }
  for (const window of ['hour', 'day', 'month', 'total'])
    await admin('POST', `${at}/budgets`, { ...limits, name: `project, ${window}`, window })
  await admin('POST', `${at}/budgets`, { ...limits, name: 'team', window: 'month', scope: { team: team.id } })
  await admin('POST', `${at}/budgets`, { ...limits, name: 'key', window: 'day', scope: { key: key.id } })
  await admin('POST', `${at}/budgets`, { ...limits, name: 'each key', window: 'month', per: 'key' })
  await admin('POST', `${at}/budgets`, { ...limits, name: 'each team', window: 'day', per: 'team' })
  return key.value
}

/**
 * Our gateway with everything it does for every call. The services that made its keys, budgets and price book are stopped
 * before anything is measured: they have machines of their own, and the one core for load has none to spare for them.
 */
export async function startGateway(ground: Ground): Promise<Target[]> {
  const cleanUps: (() => void | Promise<void>)[] = []
  const stack = await startTestStack(
    { after: clean => cleanUps.push(clean) },
    {
      ownPostgres: true,
      services: ['accounts', 'budget', 'billing', 'gateway'],
      env: {
        GATEWAY_UPSTREAM_CA_FILE: ground.tls.certificate,
        GATEWAY_MAX_SOCKETS: String(mostSockets()),
        SLUICE_LOG_LEVEL: 'warn',
      },
    },
  )
  const admin = await administrator(stack)
  const keys = {} as Record<Route, string>
  for (const route of routes) {
    const scheme = route === 'tls' ? 'https' : 'http'
    keys[route] = await makeProject(admin, route, `${scheme}://127.0.0.1:${ground.mock[route]}/v1`)
  }
  const leasedKey = ground.leased
    ? await makeProject(admin, 'json', `http://127.0.0.1:${ground.mock.json}/v1`, 'hard')
    : undefined
  const { gateway } = stack.services
  if (ground.profileFolder !== undefined) {
    await gateway.stop()
    gateway.plan.env.NODE_OPTIONS = `--cpu-prof --cpu-prof-dir=${ground.profileFolder}`
    await gateway.start()
    await gateway.untilReady()
  }
  const secure = await startSecureGateway(stack, ground)
  for (const name of ['accounts', 'billing'] as const) await stack.services[name].stop()
  // Leases are renewed each second: without a home they would end.
  if (!ground.leased) await stack.services.budget.stop()
  const marks = await startMarks(stack.natsAdmin)
  if (!ground.leased) await stack.postgres?.stop()

  const pid = gateway.pid ?? 0
  pinTree(pid, targetCore)
  const target: Target = {
    name: 'gateway',
    pid: route => (route === 'tls' ? secure.pid : pid),
    endpoint: route => ({
      url:
        route === 'socket'
          ? `${stack.url.replace(/^http/, 'ws')}${socketPath}`
          : `${route === 'tls' ? secure.url : stack.url}${path}`,
      headers: { authorization: `Bearer ${keys[route]}` },
    }),
    async stop() {
      await marks.stop()
      await secure.stop()
      for (const clean of cleanUps.reverse()) await clean()
    },
  }
  await answers(target)
  const plain: Target = {
    name: plainName,
    pid: () => pid,
    endpoint: route =>
      route === 'tls' ? { url: `${stack.url}${path}`, headers: { authorization: `Bearer ${keys.tls}` } } : undefined,
    stop: async () => {},
  }
  if (leasedKey === undefined) return [target, plain]
  const leased: Target = {
    name: leasedName,
    pid: target.pid,
    endpoint: route =>
      route === 'json' ? { url: `${stack.url}${path}`, headers: { authorization: `Bearer ${leasedKey}` } } : undefined,
    stop: async () => {},
  }
  await answers(leased)
  return [target, plain, leased]
}

/** The same gateway once more, listening with TLS, with a journal of its own. */
async function startSecureGateway(stack: TestStack, ground: Ground) {
  const { env, args } = stack.services.gateway.plan
  const journal = join(stack.home, 'journal-tls')
  mkdirSync(journal)
  const port = await freePort()
  const operatorPort = await freePort()
  const child = startPinned('gateway-tls', targetCore, [process.execPath, ...args], {
    logs: ground.folder,
    cwd: stack.services.gateway.plan.cwd,
    env: {
      ...Object.fromEntries(
        Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
      ),
      NODE_OPTIONS: '',
      GATEWAY_JOURNAL_DIR: journal,
      GATEWAY_PORT: String(port),
      GATEWAY_OPERATOR_PORT: String(operatorPort),
      GATEWAY_TLS_CERT_FILE: ground.tls.certificate,
      GATEWAY_TLS_KEY_FILE: ground.tls.key,
    },
  })
  await until('the gateway with TLS', async () => (await fetch(`http://127.0.0.1:${operatorPort}/health/ready`)).ok)
  return { pid: child.pid ?? 0, url: `https://127.0.0.1:${port}`, stop: () => stopProcess(child) }
}
