import { type Call, replyHeaders } from '../call.ts'
import { readDirectives } from '../directives.ts'
import { asObject, asText, isObject, type JsonObject } from '../json.ts'
import { errorOfStatus } from '../provider-error.ts'
import type { SimulatorState } from '../server.ts'
import { type Listener, RealtimeSession } from './realtime-session.ts'

/** Turns that the far end of a call speaks, and the time between them, where `call_turns` and `call_gap_ms` say no other. */
const turnsOfACall = 3
const msBetweenTurns = 300
const secondOfSound = Buffer.alloc(48_000).toString('base64')

/** Hears the sound, so that a call goes on whoever leaves its sideband. */
const farEnd: Listener = { send: () => undefined, drop: () => undefined, isFull: () => false }

interface RunningCall {
  session: RealtimeSession
  speaking: NodeJS.Timeout
}

/** Calls whose sound goes past the API: their far end speaks by itself, and who joins by `call_id` hears the events. */
export class RealtimeCalls {
  readonly #calls = new Map<string, RunningCall>()
  #count = 0

  start(state: Pick<SimulatorState, 'bill' | 'log'>, call: Call, model: string, config: JsonObject): string {
    const id = `rtc_${call.id}_${++this.#count}`
    const { headers, credentialSha256 } = call
    const session = new RealtimeSession(state, { id, headers, credentialSha256, model, config })
    session.receive(
      event({ type: 'session.update', session: { audio: { input: { turn_detection: { type: 'server_vad' } } } } }),
    )
    session.join(farEnd)
    const directives = readDirectives({}, asText(config.instructions) ?? '')
    const last = directives.number('call_turns') ?? turnsOfACall
    let turns = 0
    const speaking = setInterval(() => {
      if (++turns <= last) session.receive(event({ type: 'input_audio_buffer.append', audio: secondOfSound }))
    }, directives.number('call_gap_ms') ?? msBetweenTurns)
    this.#calls.set(id, { session, speaking })
    return id
  }

  find(id: string): RealtimeSession | undefined {
    return this.#calls.get(id)?.session
  }

  /** @returns false where there is no such call */
  hangUp(id: string): boolean {
    const running = this.#calls.get(id)
    if (!running) return false
    clearInterval(running.speaking)
    this.#calls.delete(id)
    running.session.end()
    return true
  }

  close(): void {
    for (const id of [...this.#calls.keys()]) this.hangUp(id)
  }
}

function event(content: object): Buffer {
  return Buffer.from(JSON.stringify(content))
}

/** `POST /v1/realtime/calls`: an offer as it is, or in a form with a session. */
export async function createRealtimeCall(call: Call): Promise<void> {
  const type = String(call.headers['content-type'] ?? '')
  let config: JsonObject = { ...call.clientSecret?.config }
  if (type.startsWith('multipart/form-data')) {
    const form = await new Response(new Uint8Array(call.bytes), { headers: { 'content-type': type } }).formData()
    const session = form.get('session')
    const given = asObject(JSON.parse(session instanceof Blob ? await session.text() : (session ?? '{}')))
    config = { ...config, ...given }
  }
  const model = asText(config.model) ?? call.query.get('model') ?? ''
  if (!RealtimeSession.serves(model)) throw errorOfStatus('openai', 400, `There is no model "${model}" for calls.`)
  const state = { bill: call.bill, log: () => undefined }
  const id = call.realtimeCalls.start(state, call, model, isObject(config) ? config : {})
  const answer = 'v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=simulated\r\n'
  call.reply.writeHead(201, {
    'content-type': 'application/sdp',
    location: `/v1/realtime/calls/${id}`,
    ...replyHeaders(call),
  })
  call.reply.end(answer)
}

/** `POST /v1/realtime/calls/{id}/hangup` */
export function controlRealtimeCall(call: Call): void {
  const [, id = '', verb] = /^\/v1\/realtime\/calls\/([^/]+)\/(\w+)$/.exec(call.path) ?? []
  if (verb !== 'hangup' || !call.realtimeCalls.hangUp(id)) throw errorOfStatus('openai', 404, 'There is no such call.')
  call.reply.writeHead(200, replyHeaders(call))
  call.reply.end()
}
