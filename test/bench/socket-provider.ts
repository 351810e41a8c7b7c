/**
 * A provider of Responses sockets, as a process of its own: `node socket-provider.ts <port>`. Each `response.create` is
 * answered by one response of {@link socketEvents} events, {@link socketGapMs} apart.
 */
import { WebSocketServer } from 'ws'
import { model } from './payloads.ts'

/** Events of one turn, and the time between two. */
export const socketEvents = 22
export const socketGapMs = 250

/** A delta of 260 bytes, as a provider sends it. */
function delta(id: string, index: number): string {
  return `{"type":"response.output_text.delta","sequence_number":${index},"item_id":"msg_${id}","output_index":0,"content_index":0,"delta":" word${String(index).padStart(4, '0')}","logprobs":[],"obfuscation":"${'x'.repeat(60)}"}`
}

function responseOf(id: string, status: string, usage: object | null): object {
  return { id: `resp_${id}`, object: 'response', created_at: 1760000000, status, model, output: [], usage }
}

const usage = {
  input_tokens: 187,
  input_tokens_details: { cached_tokens: 0 },
  output_tokens: 99,
  output_tokens_details: { reasoning_tokens: 0 },
  total_tokens: 286,
}

function serve(port: number): void {
  const server = new WebSocketServer({ host: '127.0.0.1', port, perMessageDeflate: false, clientTracking: false })
  let turns = 0
  server.on('connection', socket => {
    socket.on('error', () => {})
    socket.on('message', () => {
      const id = `bench${String(++turns).padStart(8, '0')}`
      let sent = 0
      const timer = setInterval(() => {
        const isLast = sent === socketEvents - 1
        if (sent === 0)
          socket.send(JSON.stringify({ type: 'response.created', response: responseOf(id, 'in_progress', null) }))
        else if (isLast)
          socket.send(JSON.stringify({ type: 'response.completed', response: responseOf(id, 'completed', usage) }))
        else socket.send(delta(id, sent))
        if (isLast || socket.readyState !== socket.OPEN) clearInterval(timer)
        sent++
      }, socketGapMs)
    })
  })
}

const [, script, port] = process.argv
if (script === import.meta.filename && port !== undefined) serve(Number(port))
