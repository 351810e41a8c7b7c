import type { Pool } from 'undici'
import { callAndLeave, type Leaving, type NamedCall } from './abort-calls.ts'
import type { Twin, Way } from './abort-estimates.ts'
import { type AbortKind, abortKinds } from './abort-kinds.ts'
import { eventsOf, hearEvents } from './abort-reading.ts'

/** A call to be made, and how it ends: from its first byte to nearly its last. */
export interface Plan extends Omit<NamedCall, 'run' | 'apiKey'> {
  way: Way
  twin: Twin
  leaving: Leaving
  diesAt?: number
}

/** Replies that nobody leaves, by kind and request. */
export class Twins {
  readonly #provider: Pool
  readonly #origin: string
  readonly #known = new Map<string, Promise<Twin>>()

  /** @param provider connections to the simulator itself */
  constructor(provider: Pool, origin: string) {
    this.#provider = provider
    this.#origin = origin
  }

  of(kind: AbortKind, asked: string): Promise<Twin> {
    const key = `${kind.name} ${asked}`
    let twin = this.#known.get(key)
    if (!twin) {
      twin = this.#ask(kind, asked)
      this.#known.set(key, twin)
    }
    return twin
  }

  async #ask(kind: AbortKind, asked: string): Promise<Twin> {
    const request = kind.ask(asked)
    if (kind.via === 'frames') {
      const call = { run: '', apiKey: 'sk-twin', kind, request, orders: {} }
      const { events } = await callAndLeave(this.#provider, this.#origin, call, {})
      return { providerRequestId: '', bytes: Buffer.from(events.map(event => JSON.stringify(event)).join('')), events }
    }
    const { path, headers, body } = kind.asProvider?.(request) ?? request
    const anthropic = path.startsWith('/anthropic') ? { 'anthropic-version': '2023-06-01' } : {}
    const answer = await this.#provider.request({
      method: 'POST',
      path,
      headers: { authorization: 'Bearer sk-twin', ...anthropic, ...headers },
      body,
    })
    const bytes = Buffer.from(await answer.body.arrayBuffer())
    if (answer.statusCode !== 200) throw new Error(`${kind.name}: the simulator says ${answer.statusCode} ${bytes}`)
    const id = answer.headers['x-request-id'] ?? answer.headers['request-id']
    return { providerRequestId: String(id), bytes, events: eventsOf(bytes) }
  }
}

/** `each` calls of every kind, in every way of ending. */
/** A chunk takes longer where it is looked at how many are under way when somebody leaves. */
export const leastPaceMs = 50

export async function planCalls(each: number, random: () => number, twins: Twins): Promise<Plan[]> {
  const plans: Plan[] = []
  for (const way of ['cancel', 'drain', 'dies'] as const)
    for (const kind of abortKinds)
      for (let index = 0; index < each; index++) plans.push(await planCall(way, kind, random, twins))
  return plans
}

async function planCall(way: Way, kind: AbortKind, random: () => number, twins: Twins): Promise<Plan> {
  const upTo = (most: number) => Math.floor(random() * most)
  const says = kind.says[upTo(kind.says.length)] ?? ''
  const twin = await twins.of(kind, says)
  // One wait where there is one step; else as long in all, in as many waits as there are steps.
  const tookMs = (way === 'cancel' && kind.via !== 'whole' ? leastPaceMs * kind.steps : 120) + upTo(160)
  const delayMs = Math.ceil(tookMs / kind.steps)
  const firstDelayMs = kind.steps === 1 ? tookMs : delayMs
  const pace = { first_delay_ms: firstDelayMs, delay_ms: delayMs }
  const bytes = twin.bytes.length
  const dies =
    kind.via === 'frames'
      ? { fault: 'drop', at: upTo(tokensIn(says)) }
      : { fault: 'drop', at_byte: 1 + upTo(bytes * 0.97) }
  const orders = { ...pace, ...(way === 'dies' ? dies : {}) }
  const common = { way, kind, twin, ...asked(kind, says, orders) }
  if (way === 'dies') return { ...common, leaving: {}, diesAt: dies.at_byte ?? dies.at ?? 0 }
  if (kind.via === 'whole') return { ...common, leaving: { afterMs: upTo(tookMs * 0.9) } }
  const heard = kind.via === 'sound' ? hearEvents(kind.reading, twin.events).at(-1)?.soundBytes || bytes : bytes
  return { ...common, leaving: { atByte: 1 + upTo(heard * 0.95) } }
}

/** Beside the request, so that its reply is the twin's; on a socket among what is said. */
function asked(
  kind: AbortKind,
  says: string,
  orders: Record<string, string | number>,
): Pick<Plan, 'request' | 'orders'> {
  const pairs = Object.entries(orders)
  if (kind.via === 'frames')
    return { request: kind.ask(`${says} ${pairs.map(([name, value]) => `${name}=${value}`).join(' ')}`), orders: {} }
  const headers = pairs.map(([name, value]) => [`x-sim-${name.replaceAll('_', '-')}`, String(value)])
  return { request: kind.ask(says), orders: Object.fromEntries(headers) }
}

function tokensIn(says: string): number {
  return Number(/(?:tool_tokens|output_tokens)=(\d+)/.exec(says)?.[1] ?? 1)
}
