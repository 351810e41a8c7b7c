import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '@sluice/stack'
import type { Endpoint } from './load-closed.ts'
import { type Nginx, type Ports, type Route, startMock, startProxy } from './nginx.ts'
import { requests } from './payloads.ts'
import { loadCore, startPinned, stopProcess, targetCore, until } from './processes.ts'
import { ensurePortkey } from './requirements.ts'

/** Something that answers the bench's calls, and whose CPU and memory are counted. */
export interface Target {
  name: string
  /** Root of the process tree that is counted. */
  pid: (route: Route) => number
  endpoint: (route: Route) => Endpoint | undefined
  stop: () => Promise<void>
}

const path = '/v1/chat/completions'
const socketPath = '/v1/responses'

/** What every target may need to start. */
export interface Ground {
  folder: string
  mock: Ports
  tls: { certificate: string; key: string }
  /** Where the gateway leaves a CPU profile. */
  profileFolder?: string
  /** The gateway is met once more, with a key whose eight budgets are hard. */
  leased: boolean
}

export async function startDirect(folder: string, tls: Ground['tls']): Promise<{ target: Target; mock: Nginx }> {
  const mock = await startMock(folder, tls)
  const socket = await freePort()
  const script = join(import.meta.dirname, 'socket-provider.ts')
  const provider = startPinned('socket-provider', loadCore, [process.execPath, script, String(socket)], {
    logs: folder,
  })
  mock.ports.socket = socket
  const target = fromNginx('direct', mock)
  target.stop = async () => {
    await stopProcess(provider)
    await mock.stop()
  }
  await answers(target)
  return { target, mock }
}

export async function startNginxProxy(ground: Ground): Promise<Target> {
  const target = fromNginx('nginx', await startProxy(ground.folder, ground.mock, ground.tls))
  await answers(target)
  return target
}

/** Portkey's gateway, the other one in TypeScript. It does no authentication, budgets, pricing or metering here. */
export async function startPortkey(ground: Ground): Promise<Target> {
  const port = await freePort()
  const command = [process.execPath, ensurePortkey(), `--port=${port}`, '--headless']
  const child = startPinned('portkey', targetCore, command, {
    logs: ground.folder,
    env: { NODE_ENV: 'production', NODE_EXTRA_CA_CERTS: ground.tls.certificate },
  })
  const target: Target = {
    name: 'Portkey',
    pid: () => child.pid ?? 0,
    endpoint: route => ({
      url: `http://127.0.0.1:${port}${path}`,
      headers: {
        authorization: 'Bearer sk-bench',
        'x-portkey-provider': 'openai',
        'x-portkey-custom-host': `${route === 'tls' ? 'https' : 'http'}://127.0.0.1:${ground.mock[route]}/v1`,
      },
    }),
    stop: () => stopProcess(child),
  }
  await answers(target)
  return target
}

function fromNginx(name: string, nginx: Nginx): Target {
  return {
    name,
    pid: () => nginx.pid,
    endpoint: route => ({
      url:
        route === 'socket'
          ? `ws://127.0.0.1:${nginx.ports.socket}${socketPath}`
          : `${route === 'tls' ? 'https' : 'http'}://127.0.0.1:${nginx.ports[route]}${path}`,
      headers: { authorization: 'Bearer sk-bench' },
    }),
    stop: nginx.stop,
  }
}

/** Waits until a call comes back whole. */
export async function answers(target: Target): Promise<void> {
  await until(target.name, async () => (await fetchBody(target, 'json', requests.small)) !== undefined)
}

/** One call; undefined where the target has no such route or did not answer 200. */
export async function fetchBody(target: Target, route: Route, body: string): Promise<Buffer | undefined> {
  const endpoint = target.endpoint(route)
  if (!endpoint || (route === 'tls' && endpoint.url.startsWith('https'))) return undefined
  const headers = { 'content-type': 'application/json', ...endpoint.headers }
  const response = await fetch(endpoint.url, { method: 'POST', headers, body })
  const bytes = Buffer.from(await response.arrayBuffer())
  return response.status === 200 ? bytes : undefined
}

/** Everything there is to measure, started one after the other. */
export async function startTargets(ground: Ground, direct: Target, wanted: readonly string[]): Promise<Target[]> {
  const targets = [direct, await startNginxProxy(ground)]
  if (wanted.includes('gateway') && existsSync(join(import.meta.dirname, '../../services/gateway/src/main.ts'))) {
    const { startGateway } = await import('./gateway-target.ts')
    targets.push(...(await startGateway(ground)))
  }
  if (wanted.includes('portkey')) targets.push(await startPortkey(ground))
  return targets
}
