/** Where a client is pointed, and how its calls are told from others: by a tag in a header. */
export interface Setup {
  openaiBaseUrl: string
  /** As Anthropic's own SDK takes it, without `/v1`. */
  anthropicBaseUrl: string
  apiKey: string
  headers: Record<string, string>
}

/** One path through one client, as its users write it. `orders` tell the simulator what to say; they go into the prompt. */
export interface ClientCalls {
  client: 'openai' | '@anthropic-ai/sdk' | 'LangChain' | 'AI SDK'
  /** Name of the endpoint in events; a variant of its own behind a colon. */
  endpoint: string
  plain?: (setup: Setup, orders: string, signal: AbortSignal) => Promise<unknown>
  streamed?: (setup: Setup, orders: string, signal: AbortSignal) => Promise<AsyncIterable<unknown>>
  /** The reply tells what it used. False: nobody can, so the event is an estimate. Default: true. */
  isTold?: boolean
  /** The reply does not, but the request does: what is counted there is the bill, though marked as an estimate. */
  isCounted?: boolean
  /** Endpoints that it has events of, where one is not all. */
  settles?: readonly string[]
  /** What of the provider's numbers the event doubts, where that is anything. */
  doubts?: readonly string[]
  /** Nobody can leave it: it is over at once. */
  stays?: boolean
  /** It has no prompt to carry orders: they go in headers. */
  takesNoPrompt?: boolean
  /** Its stream has hardly more pieces than a client that leaves has seen: they come slowly to one that does. */
  hasFewPieces?: true
  /** More for the simulator: everything that this path can be billed for. */
  orders?: string
}

/** The same orders as headers. */
export function headersOf(orders: string): Record<string, string> {
  return Object.fromEntries(
    orders.split(' ').map(order => {
      const [name = '', value = ''] = order.split('=')
      return [`x-sim-${name.replaceAll('_', '-')}`, value]
    }),
  )
}

/** A prompt that carries orders. */
export function promptOf(orders: string): string {
  return `Tell me about sluices. [[sim ${orders}]]`
}
