import { createWriteStream, type WriteStream } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { Agent } from 'undici'
import { seededRandom } from './random.ts'

/** One call as its client saw it. */
export interface ClientCall {
  n: number
  streamed: boolean
  startedAtMs: number
  durationMs: number
  /** From the answer's headers: absent where none came. */
  callId: string | undefined
  providerRequestId: string | undefined
  /** 0: no answer. */
  status: number
  bytes: number
  /** `whole`: answered to the end. `broken`: the connection went away. `refused`: a status of 400 or above. */
  ended: 'whole' | 'broken' | 'refused'
}

export interface LoadOptions {
  /** Where calls go; of several gateways: where the next one goes. */
  origin: string | (() => string | Promise<string>)
  apiKey: string
  seed: number
  /** Every call, one a line. */
  logFile: string
  connections: number
  /** Calls a second, begun whatever the earlier ones do. Absent: `connections` clients that wait for their answer. */
  perSecond?: number
  /** How long a client that has its answer waits before it calls again. Default: not at all. */
  pauseMs?: number | undefined
  /** Share of calls that are streamed, slowly enough that a fault finds them in the middle. */
  streamed: number
}

/** A running load: real clients that keep calling whatever happens to the gateway. */
export interface Load {
  readonly calls: readonly ClientCall[]
  readonly active: number
  /** Begins no more calls and waits for those under way. */
  stop: () => Promise<void>
}

const kinds = ['chat', 'messages'] as const

/** Starts calling at once. */
export function startLoad(options: LoadOptions): Load {
  const agent = new Agent({
    connections: options.connections,
    // A client that waits for ever would hide a gateway that never answers.
    headersTimeout: 20_000,
    bodyTimeout: 20_000,
    // Not from the gateway's own address: a client that keeps knocking at a closed port in the range of outgoing ones
    // connects to itself in the end, and then the gateway finds its port taken.
    ...(process.platform === 'linux' ? { connect: { localAddress: '127.0.0.2' } } : {}),
  })
  const log = createWriteStream(options.logFile, { flags: 'a' })
  const random = seededRandom(options.seed)
  const calls: ClientCall[] = []
  const active = new Set<Promise<ClientCall>>()
  let running = true
  let n = 0
  const begin = (): Promise<ClientCall> => {
    const call = oneCall(agent, ++n, options, random).then(result => keep(result, calls, log))
    const tracked: Promise<ClientCall> = call.finally(() => active.delete(tracked))
    active.add(tracked)
    return tracked
  }
  const driver =
    options.perSecond === undefined
      ? Promise.all(
          Array.from({ length: options.connections }, () => closedClient(begin, () => running, options.pauseMs ?? 0)),
        )
      : openClients(begin, () => running, options.perSecond)
  return {
    calls,
    get active() {
      return active.size
    },
    async stop() {
      running = false
      await driver
      await Promise.all(active)
      await agent.close()
      await new Promise(resolve => log.end(resolve))
    },
  }
}

async function closedClient(begin: () => Promise<ClientCall>, running: () => boolean, pauseMs: number) {
  while (running()) {
    const call = await begin()
    // A gateway that is down or refuses answers in microseconds: who spins against it takes what it needs to come up.
    const restMs = call.status === 0 || call.status === 503 ? Math.max(100, pauseMs) : pauseMs
    if (restMs > 0) await delay(restMs)
  }
}

async function openClients(begin: () => Promise<unknown>, running: () => boolean, perSecond: number): Promise<void> {
  const startedAt = performance.now()
  for (let begun = 0; running(); ) {
    const due = Math.floor(((performance.now() - startedAt) * perSecond) / 1000)
    for (; begun < due; begun++) void begin()
    await delay(Math.max(1, startedAt + ((begun + 1) * 1000) / perSecond - performance.now()))
  }
}

function keep(call: ClientCall, calls: ClientCall[], log: WriteStream): ClientCall {
  calls.push(call)
  log.write(`${JSON.stringify(call)}\n`)
  return call
}

async function oneCall(agent: Agent, n: number, options: LoadOptions, random: () => number): Promise<ClientCall> {
  const request = buildRequest(n, options, random)
  const call: ClientCall = {
    n,
    streamed: request.streamed,
    startedAtMs: Date.now(),
    durationMs: 0,
    callId: undefined,
    providerRequestId: undefined,
    status: 0,
    bytes: 0,
    ended: 'broken',
  }
  const begun = performance.now()
  try {
    const answer = await agent.request({
      origin: typeof options.origin === 'string' ? options.origin : await options.origin(),
      method: 'POST',
      path: request.path,
      headers: { authorization: `Bearer ${options.apiKey}`, 'content-type': 'application/json', ...request.headers },
      body: request.body,
    })
    call.status = answer.statusCode
    call.callId = text(answer.headers['sluice-call-id'])
    call.providerRequestId = text(answer.headers['x-request-id']) ?? text(answer.headers['request-id'])
    for await (const chunk of answer.body) call.bytes += (chunk as Buffer).length
    call.ended = answer.statusCode >= 400 ? 'refused' : 'whole'
  } catch {
    call.ended = 'broken'
  }
  call.durationMs = performance.now() - begun
  return call
}

function buildRequest(n: number, options: LoadOptions, random: () => number) {
  const streamed = random() < options.streamed
  const kind = kinds[Math.floor(random() * kinds.length)] ?? 'chat'
  const tokens = 8 + Math.floor(random() * 60)
  const cadence = streamed ? ` tokens_per_chunk=2 delay_ms=${2 + Math.floor(random() * 8)}` : ''
  const content = `call ${n} [[sim output_tokens=${tokens}${cadence}]]`
  const messages = [{ role: 'user', content }]
  return kind === 'chat'
    ? {
        path: '/openai/v1/chat/completions',
        streamed,
        headers: {},
        body: JSON.stringify({ model: 'gpt-4o-mini', messages, stream: streamed }),
      }
    : {
        path: '/anthropic/v1/messages',
        streamed,
        headers: { 'anthropic-version': '2023-06-01' },
        body: JSON.stringify({ model: 'claude-sonnet-4-5', max_tokens: 512, messages, stream: streamed }),
      }
}

function text(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' ? header : undefined
}
