import type { WebSocket } from 'ws'
import type { SimulatorState } from '../server.ts'
import { type Listener, RealtimeSession } from './realtime-session.ts'
import type { SocketCall } from './socket-server.ts'

const fullBytes = 1024 * 1024

/** `/v1/realtime`: a session by `?model=`, by `?intent=transcription`, or the sideband of a call by `?call_id=`. */
export function acceptRealtime(
  state: SimulatorState,
  { id, socket, query, headers, credentialSha256, clientSecret }: SocketCall,
): void {
  const callId = query.get('call_id')
  const joined = callId === null ? undefined : state.realtimeCalls.find(callId)
  if (joined) {
    listen(joined, socket)
    return
  }
  const model = clientSecret ? clientSecret.model : (query.get('model') ?? undefined)
  const isTranscription = clientSecret ? model === undefined : query.get('intent') === 'transcription'
  if (!isTranscription && (model === undefined || !RealtimeSession.serves(model))) {
    socket.send(
      JSON.stringify({
        type: 'error',
        event_id: `event_${id}_0`,
        error: { type: 'invalid_request_error', code: 'invalid_model', message: `There is no model "${model}" here.` },
      }),
    )
    socket.close(4000, 'invalid_model')
    return
  }
  const config = clientSecret?.config
  listen(new RealtimeSession(state, { id, headers, credentialSha256, model, ...(config && { config }) }), socket)
}

/** Joins a socket to a session until it leaves. */
export function listen(session: RealtimeSession, socket: WebSocket): void {
  const listener: Listener = {
    send: text => socket.send(text),
    drop: () => socket.terminate(),
    isFull: () => socket.readyState === socket.OPEN && socket.bufferedAmount > fullBytes,
  }
  session.join(listener)
  socket.on('message', (data: Buffer) => session.receive(data))
  socket.on('error', () => socket.terminate())
  socket.on('close', () => session.leave(listener))
}
