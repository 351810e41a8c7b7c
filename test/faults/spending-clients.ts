import { setTimeout as delay } from 'node:timers/promises'
import { Agent, type Dispatcher } from 'undici'
import { seededRandom } from './random.ts'

export interface SpendingOptions {
  /** One for each gateway. */
  origins: readonly string[]
  /** Streams at a time, at each of them. */
  streams: number
  apiKey: string
  seed: number
}

/** Clients that spend a budget, whatever happens to the gateways. */
export interface Spending {
  /** How often each of these happened: `whole`, `broken`, `left`, `no answer`, or the code of a refusal. */
  readonly outcomes: Readonly<Record<string, number>>
  /** Tokens of output that were asked for and came whole. */
  readonly outputTokens: number
  /** Begins no more calls and waits for those under way. */
  stop: () => Promise<void>
}

/** What clients ask for; its prices make 2,000 of its least holds fit into a dollar. */
export const spendingModel = 'gpt-4.1-mini'

const mostTokens = 700
/** Refusals that do not end soon. */
const restMs: Record<string, number> = { insufficient_quota: 500, 'no answer': 400 }

/** Every client has one call under way at a time, most of them streamed; now and then one leaves in the middle. */
export function startSpending({ origins, streams, apiKey, seed }: SpendingOptions): Spending {
  const agent = new Agent({
    connections: streams,
    headersTimeout: 30_000,
    bodyTimeout: 30_000,
    // As in the other scenarios: never from an address on which a gateway that is down may look for its port.
    ...(process.platform === 'linux' ? { connect: { localAddress: '127.0.0.2' } } : {}),
  })
  const random = seededRandom(seed)
  const outcomes: Record<string, number> = {}
  let isOver = false
  let outputTokens = 0
  const client = async (origin: string): Promise<void> => {
    await delay(random() * 300)
    while (!isOver) {
      const call = drawCall(random)
      const outcome = await makeCall(agent, origin, apiKey, call)
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
      if (outcome === 'whole') outputTokens += Math.min(call.outputTokens, call.maxTokens)
      // Whoever is refused tries again soon, as clients do.
      else if (outcome !== 'left') await delay(restMs[outcome] ?? 50 + random() * 250)
    }
  }
  const clients = origins.flatMap(origin => Array.from({ length: streams }, () => client(origin)))
  return {
    outcomes,
    get outputTokens() {
      return outputTokens
    },
    async stop() {
      isOver = true
      await Promise.all(clients)
      await agent.close()
    },
  }
}

interface SpendingCall {
  maxTokens: number
  outputTokens: number
  delayMs: number
  streamed: boolean
  /** The client leaves after so many pieces; 0: it stays. */
  leavesAfter: number
}

function drawCall(random: () => number): SpendingCall {
  const maxTokens = 256 + Math.floor(random() * (mostTokens - 256))
  return {
    maxTokens,
    // Some would say more than they may.
    outputTokens: Math.floor(maxTokens * (0.4 + random() * 0.8)),
    delayMs: 50 + Math.floor(random() * 200),
    streamed: random() < 0.95,
    leavesAfter: random() < 0.03 ? 2 + Math.floor(random() * 4) : 0,
  }
}

async function makeCall(agent: Agent, origin: string, apiKey: string, call: SpendingCall): Promise<string> {
  const cadence = call.streamed ? ` tokens_per_chunk=80 delay_ms=${call.delayMs}` : ''
  const content = `Write. [[sim output_tokens=${call.outputTokens}${cadence}]]`
  let answer: Dispatcher.ResponseData
  try {
    answer = await agent.request({
      origin,
      method: 'POST',
      path: '/openai/v1/chat/completions',
      headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        model: spendingModel,
        messages: [{ role: 'user', content }],
        max_tokens: call.maxTokens,
        // Left to the provider it could be a dearer one, and as much would be held.
        service_tier: 'default',
        stream: call.streamed,
      }),
    })
  } catch {
    return 'no answer'
  }
  try {
    if (answer.statusCode >= 400) return codeOf(await answer.body.json()) ?? String(answer.statusCode)
    let pieces = 0
    for await (const _ of answer.body) if (++pieces === call.leavesAfter) return 'left'
    return 'whole'
  } catch {
    return 'broken'
  }
}

function codeOf(body: unknown): string | undefined {
  const { error } = body as { error?: { code?: unknown } }
  return typeof error?.code === 'string' ? error.code : undefined
}
