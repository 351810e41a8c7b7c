import { setTimeout as delay } from 'node:timers/promises'
import { Agent, type Dispatcher } from 'undici'
import { seededRandom } from './random.ts'
import { type SessionModel, SessionPrompt } from './session-prompt.ts'

/** Somebody with a budget of their own. */
export interface Seat {
  /** The value by which the budget's copies are told apart. */
  copy: string
  apiKey: string
}

/** How a call of a session has come out. */
export interface SessionCall {
  seat: Seat
  model: string
  /**
   * `whole`; `clamped`: sent with a smaller limit; `cut`: ended before it had said all; `broken`, `no answer`; else the reason of
   * a refusal.
   */
  outcome: string
  /** The provider's own id of it. */
  billId: string | undefined
}

export interface SessionsOptions {
  /** Any call goes to any of them. */
  origins: readonly string[]
  seats: readonly Seat[]
  /** Of each seat. */
  sessions: number
  models: readonly SessionModel[]
  promptTokens: readonly [number, number]
  /** From one call of a session to its next. */
  everyMs: number
  outputTokens: readonly [number, number]
  /** For as long as this an answer is spoken, about. */
  answerMs: number
  seed: number
  onCall: (call: SessionCall) => void
}

const tokensPerChunk = 40
/** Who is told so often that money is short has none. */
const mostRefused = 3

/** Sessions of many seats, each with one call under way at a time, until its seat has spent all that it has. */
export async function runSessions(options: SessionsOptions): Promise<void> {
  const agent = new Agent({
    headersTimeout: 60_000,
    bodyTimeout: 60_000,
    // As in the other scenarios: never from an address on which a gateway that is down may look for its port.
    ...(process.platform === 'linux' ? { connect: { localAddress: '127.0.0.2' } } : {}),
  })
  try {
    await Promise.all(
      options.seats.flatMap((seat, number) =>
        Array.from({ length: options.sessions }, (_, at) =>
          runSession(agent, options, seat, number * options.sessions + at),
        ),
      ),
    )
  } finally {
    await agent.close()
  }
}

async function runSession(agent: Agent, options: SessionsOptions, seat: Seat, number: number): Promise<void> {
  const { models, promptTokens, everyMs, outputTokens, answerMs, origins, onCall } = options
  const random = seededRandom(options.seed * 10_007 + number)
  const model = models[number % models.length]
  if (!model) throw new Error('no model to speak with')
  const prompt = new SessionPrompt(model, promptTokens, random)
  let refused = 0
  await delay(random() * everyMs)
  while (refused < mostRefused) {
    const beganAt = performance.now()
    const [least, most] = outputTokens
    const tokens = Math.floor(least + random() * random() * (most - least))
    const chunkMs = Math.round((answerMs * (0.5 + random())) / Math.max(1, most / tokensPerChunk / 2))
    const cadence = `tokens_per_chunk=${tokensPerChunk} delay_ms=${chunkMs} first_delay_ms=${Math.round(random() * chunkMs * 3)}`
    const origin = origins[Math.floor(random() * origins.length)] ?? ''
    const call = await makeCall(agent, origin, seat, model, prompt.next(tokens, cadence, random))
    onCall({ seat, model: model.model, ...call })
    refused = call.outcome.startsWith('budget_') ? refused + 1 : 0
    if (call.outcome === 'budget_spent') return
    const restMs = everyMs * (0.7 + random() * 0.6) - (performance.now() - beganAt)
    await delay(Math.max(restMs, everyMs / 20))
  }
}

async function makeCall(
  agent: Agent,
  origin: string,
  { apiKey }: Seat,
  { path }: SessionModel,
  body: Buffer,
): Promise<Omit<SessionCall, 'seat' | 'model'>> {
  let answer: Dispatcher.ResponseData
  try {
    answer = await agent.request({
      origin,
      method: 'POST',
      path,
      headers: { 'x-api-key': apiKey, 'content-type': 'application/json', 'anthropic-version': '2023-06-01' },
      body,
    })
  } catch {
    return { outcome: 'no answer', billId: undefined }
  }
  const { headers, statusCode } = answer
  const billId = text(headers['x-request-id']) ?? text(headers['request-id'])
  try {
    if (statusCode >= 400)
      return { outcome: reasonOf(await answer.body.json()) ?? String(statusCode), billId: undefined }
    const said = await answer.body.text()
    if (headers['sluice-clamped'] !== undefined) return { outcome: 'clamped', billId }
    // None of them says as much as it may: whoever has been stopped by a limit has been cut.
    const isCut = /"(?:finish_reason|stop_reason)":\s?"(?:length|max_tokens)"/.test(said.slice(-4_096))
    return { outcome: isCut ? 'cut' : 'whole', billId }
  } catch {
    return { outcome: 'broken', billId }
  }
}

function text(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined
}

function reasonOf(body: unknown): string | undefined {
  const { error } = body as { error?: { metadata?: { reason?: unknown } } }
  return typeof error?.metadata?.reason === 'string' ? error.metadata.reason : undefined
}
