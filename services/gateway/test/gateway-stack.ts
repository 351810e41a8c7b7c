import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdirSync, readFileSync } from 'node:fs'
import { connect as connectSocket } from 'node:net'
import { join } from 'node:path'
import Anthropic from '@anthropic-ai/sdk'
import type { UsageRecordedData } from '@sluice/contracts'
import { type BillRecord, hashCredential, type ShownRequest } from '@sluice/simulator'
import { freePort, startService } from '@sluice/stack'
import { eventually, startTestStack, type TestScope, type TestStack, type TestStackOptions } from '@sluice/test-env'
import OpenAI from 'openai'

/** A project made for one test, with a key of its own. */
export interface TestProject {
  projectId: string
  keyId: string
  apiKey: string
  /** What this project sends to the provider. */
  credential: string
}

export interface ProjectOptions {
  settings?: Record<string, unknown>
  /** `provider/model` patterns of the project. */
  allowedModels?: { provider: string; model: string }[]
  integrations?: Partial<Record<'openai' | 'anthropic', { base_url?: string; api_key?: string }>>
  key?: { models?: string[] }
  /** A credential of its own at the simulator, by which its calls are found on the bill. */
  ownCredential?: boolean
  /** With one of its own: what leads to the simulator as OpenAI, where a test stands in between. */
  openaiOrigin?: string
}

export interface RestAnswer {
  status: number
  // biome-ignore lint/suspicious/noExplicitAny: tests look into bodies of many shapes
  body: any
}

/** A whole installation, seen from outside: its public origin, its provider's own bill, its events on the bus. */
export class GatewayStack {
  readonly stack: TestStack
  readonly #adminToken: string
  readonly #settings: Readonly<Record<string, string>>
  /** By call, of all gateways of the installation. */
  readonly #events: Map<string, UsageRecordedData[]>

  private constructor(
    stack: TestStack,
    adminToken: string,
    events: Map<string, UsageRecordedData[]>,
    settings: Readonly<Record<string, string>> = {},
  ) {
    this.stack = stack
    this.#adminToken = adminToken
    this.#events = events
    this.#settings = settings
  }

  static async start(t: TestScope, options: TestStackOptions = {}): Promise<GatewayStack> {
    const stack = await startTestStack(t, options)
    const answer = await fetch(`${stack.url}/accounts/sign-in`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(stack.admin),
    })
    const { access_token } = (await answer.json()) as { access_token: string }
    return new GatewayStack(stack, access_token, eventsOn(stack), options.env)
  }

  /** One more gateway of the same installation, with a journal and settings of its own and none of the first one's. */
  async another(t: TestScope, name: string, settings: Readonly<Record<string, string>>): Promise<GatewayStack> {
    const { plan } = this.stack.services.gateway
    const [port, operatorPort] = [await freePort(), await freePort()]
    const home = join(this.stack.home, name)
    mkdirSync(join(home, 'logs'), { recursive: true })
    const delivered = Object.entries(plan.env).filter(([variable]) => !(variable in this.#settings))
    const gateway = await startService(
      {
        ...plan,
        env: {
          ...Object.fromEntries(delivered),
          GATEWAY_PORT: String(port),
          GATEWAY_OPERATOR_PORT: String(operatorPort),
          GATEWAY_JOURNAL_DIR: join(home, 'journal'),
          ...settings,
        },
        url: `http://127.0.0.1:${port}`,
        readyUrl: `http://127.0.0.1:${operatorPort}/health/ready`,
      },
      { home, restart: false, log: () => {} },
    )
    t.after(() => gateway.stop())
    await gateway.untilReady()
    const { url } = gateway.plan
    const stack: TestStack = Object.assign(Object.create(this.stack), {
      url,
      openaiBaseUrl: `${url}/openai/v1`,
      anthropicBaseUrl: `${url}/anthropic`,
      services: { ...this.stack.services, gateway },
    })
    return new GatewayStack(stack, this.#adminToken, this.#events, settings)
  }

  get url(): string {
    return this.stack.url
  }

  /** Where the gateway keeps its journal. */
  get journalDir(): string {
    return this.stack.services.gateway.plan.env.GATEWAY_JOURNAL_DIR ?? ''
  }

  /** A call to the management routes, as the admin. */
  async manage(method: string, path: string, body?: unknown): Promise<RestAnswer> {
    const answer = await fetch(`${this.url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.#adminToken}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await answer.text()
    assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`)
    return { status: answer.status, body: text === '' ? undefined : JSON.parse(text) }
  }

  async newProject(options: ProjectOptions = {}): Promise<TestProject> {
    const { body: project } = await this.manage('POST', '/accounts/projects', {
      name: 'test',
      settings: options.settings ?? {},
    })
    const path = `/accounts/projects/${project.id}`
    if (options.allowedModels)
      await this.manage('PUT', `${path}/settings/router`, { allowedModels: options.allowedModels })
    const credential = options.ownCredential ? `sk-${randomUUID()}` : 'simulator'
    const own = {
      openai: { base_url: `${options.openaiOrigin ?? this.stack.simulatorUrl}/v1`, api_key: credential },
      anthropic: { base_url: this.stack.simulatorUrl, api_key: credential },
    }
    const integrations = options.integrations ?? (options.ownCredential ? own : {})
    for (const [dialect, integration] of Object.entries(integrations))
      await this.manage('PUT', `${path}/settings/${dialect}`, integration)
    const { body: key } = await this.manage('POST', `${path}/api-keys`, { name: 'test', ...options.key })
    const made = { projectId: project.id as string, keyId: key.id as string, apiKey: key.value as string, credential }
    // Known to the gateway within 100 ms of its commit.
    await eventually(async () => {
      const answer = await fetch(`${this.url}/v1/models`, { headers: { 'x-api-key': made.apiKey } })
      await answer.arrayBuffer()
      return answer.status === 200
    })
    return made
  }

  /** The official clients as their users set them up; retries off, so that a test sees the first answer. */
  openai(apiKey: string): OpenAI {
    return new OpenAI({ apiKey, baseURL: this.stack.openaiBaseUrl, maxRetries: 0 })
  }
  anthropic(apiKey: string): Anthropic {
    return new Anthropic({ apiKey, baseURL: this.stack.anthropicBaseUrl, maxRetries: 0 })
  }

  /** One POST through the gateway. */
  post(path: string, credential: string, body: unknown, init: RequestInit = {}): Promise<Response> {
    return fetch(`${this.url}${path}`, {
      method: 'POST',
      ...init,
      headers: { 'content-type': 'application/json', authorization: `Bearer ${credential}`, ...init.headers },
      body: typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body),
    })
  }

  /** The one event of a call. */
  async eventOf(callId: string | null): Promise<UsageRecordedData> {
    assert.ok(callId, 'the answer names its call')
    const events = await eventually(() => this.#events.get(callId), { message: `the event of ${callId}` })
    assert.equal(events.length, 1, 'one attempt, one event')
    return events[0] as UsageRecordedData
  }

  /** Every event of a project so far. */
  eventsOf(projectId: string): UsageRecordedData[] {
    return [...this.#events.values()].flat().filter(event => event.identity.project_id === projectId)
  }

  /** The provider's own record of a call. */
  async billOf(requestId: string | null | undefined): Promise<BillRecord> {
    const answer = await fetch(`${this.stack.simulatorUrl}/simulator/bill/${requestId}`)
    assert.equal(answer.status, 200, `the provider has a bill for ${requestId}`)
    return (await answer.json()) as BillRecord
  }

  /** The provider's record of a call, once it is no longer running. */
  closedBillOf(requestId: string | null | undefined): Promise<BillRecord> {
    return eventually(async () => {
      const bill = await this.billOf(requestId)
      return bill.ended !== 'running' && bill
    })
  }

  /** Every call of a project with a credential of its own, as the provider has billed it. */
  async billsOf(project: TestProject): Promise<BillRecord[]> {
    const query = new URLSearchParams({ credential_sha256: hashCredential(project.credential) })
    const answer = await fetch(`${this.stack.simulatorUrl}/simulator/bill?${query}`)
    return ((await answer.json()) as { records: BillRecord[] }).records
  }

  /** The request as it arrived at the provider. */
  async arrived(
    requestId: string | null,
  ): Promise<ShownRequest & { bytes: Buffer; header: (name: string) => string[] }> {
    const answer = await fetch(`${this.stack.simulatorUrl}/simulator/requests/${requestId}`)
    assert.equal(answer.status, 200, `the provider has a request ${requestId}`)
    const request = (await answer.json()) as ShownRequest
    return {
      ...request,
      bytes: Buffer.from(request.body_base64, 'base64'),
      header: name => request.headers.filter(([given]) => given.toLowerCase() === name).map(([, value]) => value),
    }
  }

  /** The gateway's metrics, as Prometheus reads them. */
  async metrics(): Promise<string> {
    return (await fetch(this.stack.services.gateway.plan.readyUrl.replace('/health/ready', '/metrics'))).text()
  }

  /** Texts that the gateway has told from their bytes so far, for want of time to count them. */
  async textsByBytes(): Promise<number> {
    return Number(/gateway_texts_counted_total\{by="bytes"\} (\d+)/.exec(await this.metrics())?.[1] ?? 0)
  }

  /** Everything the gateway has logged. */
  logs(): string {
    return readFileSync(this.stack.services.gateway.logFile, 'utf8')
  }

  /**
   * Sends bytes over a socket of their own and reads until the gateway closes it or, once it has answered, says nothing more;
   * with `silentMs` also where it is silent for so long from the start.
   */
  raw(bytes: string | Buffer, silentMs?: number): Promise<string> {
    const { hostname, port } = new URL(this.url)
    return new Promise((resolve, reject) => {
      const socket = connectSocket(Number(port), hostname)
      let text = ''
      socket.setTimeout(silentMs ?? 60_000, () => socket.destroy())
      socket.on('data', chunk => {
        if (text === '') socket.setTimeout(silentMs ?? 400)
        text += chunk.toString('latin1')
      })
      socket.on('error', error => ((error as NodeJS.ErrnoException).code === 'ECONNRESET' ? undefined : reject(error)))
      socket.on('close', () => resolve(text))
      socket.on('connect', () => socket.write(bytes))
    })
  }
}

/** What is published on an installation's bus from now on, by call. */
function eventsOn(stack: TestStack): Map<string, UsageRecordedData[]> {
  const events = new Map<string, UsageRecordedData[]>()
  stack.natsAdmin.subscribe('usage.recorded.v1.*', {
    callback: (_error, message) => {
      for (const line of message.string().split('\n')) {
        if (line === '') continue
        const event = JSON.parse(line) as UsageRecordedData
        events.set(event.call_id, [...(events.get(event.call_id) ?? []), event])
      }
    },
  })
  return events
}

/** The provider's own id of a call. */
export function requestIdOf(answer: Response): string | null {
  return answer.headers.get('request-id') ?? answer.headers.get('x-request-id')
}

/** Reads a body to its end, with the chunks as they came. */
export async function readChunks(body: ReadableStream<Uint8Array> | null): Promise<Buffer[]> {
  const chunks: Buffer[] = []
  for await (const chunk of body ?? []) chunks.push(Buffer.from(chunk))
  return chunks
}

/** The `data` of each event of a stream, `[DONE]` left out. */
// biome-ignore lint/suspicious/noExplicitAny: events of three dialects
export function sseData(text: string): any[] {
  return text
    .split('\n')
    .filter(line => line.startsWith('data: {'))
    .map(line => JSON.parse(line.slice(6)))
}
