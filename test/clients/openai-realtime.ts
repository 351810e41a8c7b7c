import { once } from 'node:events'
import { connect, type NetConnectOpts } from 'node:net'
import OpenAI from 'openai'
import { OpenAIRealtimeWS } from 'openai/realtime/ws'
import { type ClientCalls, promptOf, type Setup } from './client-calls.ts'

/** The client speaks TLS only; this sends its bytes over a plain connection. */
const createConnection = (options: unknown) =>
  connect({ ...(options as object), path: undefined } as unknown as NetConnectOpts)

/** A second of silence, as realtime sessions take it. */
const sound = Buffer.alloc(48_000).toString('base64')

/** Turns of a realtime session by the official OpenAI SDK. */
export const openaiRealtime: readonly ClientCalls[] = [
  { client: 'openai', endpoint: 'realtime', streamed: async (...asked) => turnOf(...asked, ['audio']) },
  { client: 'openai', endpoint: 'realtime: in words', streamed: async (...asked) => turnOf(...asked, ['text']) },
  {
    client: 'openai',
    endpoint: 'realtime: what was heard is written down',
    settles: ['realtime', 'realtime.transcription'],
    streamed: async (...asked) => turnOf(...asked, ['audio'], 'gpt-4o-transcribe'),
  },
]

/** One turn after a second of sound, event by event; the socket is closed behind it. */
async function* turnOf(
  { openaiBaseUrl, apiKey, headers }: Setup,
  orders: string,
  signal: AbortSignal,
  modalities: ['audio'] | ['text'],
  transcription?: string,
): AsyncGenerator<unknown> {
  const options = { createConnection, headers } as object
  const realtime = new OpenAIRealtimeWS(
    { model: 'gpt-realtime', options },
    new OpenAI({ baseURL: openaiBaseUrl, apiKey, maxRetries: 0 }),
  )
  signal.addEventListener('abort', () => realtime.socket.terminate())
  const { socket } = realtime
  await once(socket, 'open')
  if (transcription !== undefined) {
    const session = { type: 'realtime' as const, audio: { input: { transcription: { model: transcription } } } }
    realtime.send({ type: 'session.update', session })
  }
  realtime.send({ type: 'input_audio_buffer.append', audio: sound })
  realtime.send({ type: 'input_audio_buffer.commit' })
  realtime.send({
    type: 'response.create',
    response: { instructions: promptOf(orders), output_modalities: modalities },
  })
  for await (const event of eventsOf(realtime)) {
    if (!event.type.startsWith('response.')) continue
    yield event
    if (event.type === 'response.done' || signal.aborted) break
  }
  realtime.close()
}

/** What the session says, until its socket closes. */
async function* eventsOf(realtime: OpenAIRealtimeWS): AsyncGenerator<OpenAI.Realtime.RealtimeServerEvent> {
  const heard: OpenAI.Realtime.RealtimeServerEvent[] = []
  let isClosed = false
  let wake = (): void => undefined
  realtime.on('error', () => wake())
  realtime.on('event', event => {
    heard.push(event)
    wake()
  })
  realtime.socket.on('close', () => {
    isClosed = true
    wake()
  })
  for (;;) {
    const next = heard.shift()
    if (next) yield next
    else if (isClosed) return
    else
      await new Promise<void>(resolve => {
        wake = resolve
      })
  }
}
