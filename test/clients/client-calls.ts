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
  /** Nobody can leave it: it is over at once, or the client takes no signal. */
  stays?: boolean
  /** More for the simulator: everything that this path can be billed for. */
  orders?: string
}

/** A prompt that carries orders. */
export function promptOf(orders: string): string {
  return `Tell me about sluices. [[sim ${orders}]]`
}
