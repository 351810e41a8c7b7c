import { setTimeout as delay } from 'node:timers/promises'
import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'

export interface DemoClientsOptions {
  /** One for each gateway. */
  origins: readonly string[]
  streams: number
  apiKey: string
  /** Of each stream, if nobody ends it. */
  outputTokens: number
}

/** Official clients that spend a budget until they are told that it is gone. */
export interface DemoClients {
  readonly running: number
  /** How streams have ended, in their dialect's words, and how often. */
  readonly ends: ReadonlyMap<string, number>
  readonly tokens: number
  /** Resolves when each of them has been refused for good. */
  done: Promise<void>
  stop: () => void
}

/** What a client asks for beyond what its stream will say. */
const spareTokens = 200
const messagesOf = (outputTokens: number) => {
  const content = `Write. [[sim output_tokens=${outputTokens} tokens_per_chunk=10 delay_ms=80]]`
  return [{ role: 'user' as const, content }]
}
const retryMs = 500

/**
 * Half of them speak OpenAI's dialect, half Anthropic's. Whoever loses its gateway goes on at the next one, as behind a load
 * balancer; whoever is refused for good stops, as agents do.
 */
export function startDemoClients({ origins, streams, apiKey, outputTokens }: DemoClientsOptions): DemoClients {
  const ends = new Map<string, number>()
  const count = (end: string) => ends.set(end, (ends.get(end) ?? 0) + 1)
  let running = 0
  let tokens = 0
  let isOver = false
  const client = async (number: number): Promise<void> => {
    const speak = number % 2 === 0 ? speakOpenai : speakAnthropic
    await delay(number * 50)
    for (let at = number; !isOver; ) {
      const origin = origins[at % origins.length] ?? ''
      running++
      try {
        count(await speak({ origin, apiKey, outputTokens }, () => tokens++))
      } catch (error) {
        const isRefused = (error as { status?: number }).status !== undefined
        count(isRefused ? wordsOf(error) : 'broken with its gateway; gone on at another')
        if (isFinal(error)) return
        if (!isRefused) at++
        await delay(retryMs)
      } finally {
        running--
      }
    }
  }
  const done = Promise.all(Array.from({ length: streams }, (_, number) => client(number))).then(() => undefined)
  return {
    ends,
    done,
    get running() {
      return running
    },
    get tokens() {
      return tokens * 10
    },
    stop: () => {
      isOver = true
    },
  }
}

interface Speech {
  origin: string
  apiKey: string
  outputTokens: number
}

async function speakOpenai({ origin, apiKey, outputTokens }: Speech, onPiece: () => void): Promise<string> {
  const client = new OpenAI({ baseURL: `${origin}/v1`, apiKey, maxRetries: 0 })
  const stream = await client.chat.completions.create({
    model: 'gpt-4o',
    messages: messagesOf(outputTokens),
    max_tokens: outputTokens + spareTokens,
    stream: true,
  })
  let reason: string | null = null
  for await (const { choices } of stream) {
    onPiece()
    reason = choices[0]?.finish_reason ?? reason
  }
  if (reason === null) throw new Error('the stream broke off')
  return reason === 'stop' ? 'finished' : `ended cleanly by the budget: finish_reason "${reason}"`
}

async function speakAnthropic({ origin, apiKey, outputTokens }: Speech, onPiece: () => void): Promise<string> {
  const client = new Anthropic({ baseURL: `${origin}/anthropic`, apiKey, maxRetries: 0 })
  const stream = client.messages.stream({
    model: 'claude-sonnet-4-6',
    max_tokens: outputTokens + spareTokens,
    messages: messagesOf(outputTokens),
  })
  stream.on('text', onPiece)
  const { stop_reason: reason } = await stream.finalMessage()
  return reason === 'end_turn' ? 'finished' : `ended cleanly by the budget: stop_reason "${reason}"`
}

/** A spent budget: its client is told not to try again. */
function isFinal(error: unknown): boolean {
  const { headers } = error as { headers?: Headers }
  return headers?.get('x-should-retry') === 'false'
}

function wordsOf(error: unknown): string {
  const { status, error: body } = error as {
    status: number
    error?: { metadata?: { reason?: string }; error?: { metadata?: { reason?: string } } }
  }
  const reason = body?.metadata?.reason ?? body?.error?.metadata?.reason
  if (reason === 'budget_held') return 'told to try again soon: what is left is held by streams that run'
  if (reason === 'budget_spent') return `refused for good: ${status}, the budget is spent`
  return `refused: ${status} ${reason ?? ''}`.trim()
}
