import { Pool } from 'undici'

/** A kind of stream: how it is asked for, and what of it a reader sees. */
export interface StreamKind {
  name: 'chat' | 'responses' | 'messages'
  path: string
  bodyOf: (prompt: string) => Record<string, unknown>
  /** Text that one event shows. */
  // biome-ignore lint/suspicious/noExplicitAny: events of three dialects
  shownBy: (event: any) => (string | undefined)[]
  /** Roughly what one chunk takes on the wire. */
  bytesPerChunk: number
}

export const streamKinds: readonly StreamKind[] = [
  {
    name: 'chat',
    path: '/v1/chat/completions',
    bodyOf: prompt => ({ model: 'gpt-5.4-mini', messages: [{ role: 'user', content: prompt }] }),
    shownBy: event =>
      (event.choices ?? []).flatMap((choice: { delta?: Delta }) => [
        choice.delta?.content,
        ...(choice.delta?.tool_calls ?? []).flatMap(call => [call.function?.name, call.function?.arguments]),
      ]),
    bytesPerChunk: 240,
  },
  {
    name: 'responses',
    path: '/v1/responses',
    bodyOf: prompt => ({ model: 'gpt-5.4-mini', input: prompt }),
    shownBy: event => (String(event.type).endsWith('.delta') ? [event.delta] : []),
    bytesPerChunk: 260,
  },
  {
    name: 'messages',
    path: '/anthropic/v1/messages',
    bodyOf: prompt => ({
      model: 'claude-sonnet-4-6',
      max_tokens: 4096,
      messages: [{ role: 'user', content: [{ type: 'text', text: prompt, cache_control: { type: 'ephemeral' } }] }],
    }),
    shownBy: event => [event.content_block?.name, event.delta?.text, event.delta?.thinking, event.delta?.partial_json],
    bytesPerChunk: 130,
  },
]

interface Delta {
  content?: string
  tool_calls?: { function?: { name?: string; arguments?: string } }[]
}

/** What a client saw of a call that it left, or that its provider broke. */
export interface SeenCall {
  /** Sent as a tag, so that the event names it. */
  run: string
  kind: StreamKind
  /** 0: no head came. */
  status: number
  providerRequestId: string | undefined
  bytes: number
  /** Text in the whole events that came, which a simulator has made up. */
  shown: string
  /** When the client went, if it did; undefined: the stream came to its end first. */
  leftAtMs: number | undefined
}

/** Calls, reads, and leaves when so many bytes of the body have come, or after so many milliseconds. */
export async function callAndLeave(
  pool: Pool,
  call: { run: string; apiKey: string; kind: StreamKind; body: object; leaveAtByte?: number; leaveAfterMs?: number },
): Promise<SeenCall> {
  const { kind, leaveAtByte = Number.POSITIVE_INFINITY } = call
  const seen: SeenCall = {
    run: call.run,
    kind,
    status: 0,
    providerRequestId: undefined,
    bytes: 0,
    shown: '',
    leftAtMs: undefined,
  }
  const leave = new AbortController()
  const go = () => {
    seen.leftAtMs ??= Date.now()
    leave.abort()
  }
  const timer = call.leaveAfterMs === undefined ? undefined : setTimeout(go, call.leaveAfterMs)
  const chunks: Buffer[] = []
  try {
    const answer = await pool.request({
      method: 'POST',
      path: kind.path,
      headers: {
        authorization: `Bearer ${call.apiKey}`,
        'content-type': 'application/json',
        'sluice-tag-run': call.run,
        'x-run': call.run,
      },
      body: JSON.stringify(call.body),
      signal: leave.signal,
    })
    seen.status = answer.statusCode
    const id = answer.headers['x-request-id'] ?? answer.headers['request-id']
    seen.providerRequestId = typeof id === 'string' ? id : undefined
    for await (const chunk of answer.body as AsyncIterable<Buffer>) {
      chunks.push(chunk)
      seen.bytes += chunk.length
      if (seen.bytes >= leaveAtByte) go()
    }
    clearTimeout(timer)
  } catch {
    // Left, or broken: what was seen until then counts.
  }
  clearTimeout(timer)
  seen.shown = readShown(kind, Buffer.concat(chunks).toString())
  return seen
}

/** Read by hand: what this says must not come from the code that it judges. */
function readShown(kind: StreamKind, text: string): string {
  let all = ''
  for (const event of text.split('\n\n').slice(0, -1)) {
    const data = /^data: (\{.*)$/m.exec(event)?.[1]
    if (data === undefined) continue
    for (const shown of kind.shownBy(JSON.parse(data))) if (typeof shown === 'string') all += shown
  }
  return all
}

/** Connections of a client that leaves: each call may cost one. */
export function leavingPool(origin: string, connections: number): Pool {
  return new Pool(origin, {
    connections,
    headersTimeout: 20_000,
    bodyTimeout: 20_000,
    ...(process.platform === 'linux' ? { connect: { localAddress: '127.0.0.2' } } : {}),
  })
}
