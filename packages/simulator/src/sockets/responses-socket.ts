import { DirectiveError, type Directives } from '../directives.ts'
import type { GeneratingCall } from '../generation.ts'
import { asText, isObject, type JsonObject } from '../json.ts'
import { planResponse, type ResponseHistory } from '../openai/responses.ts'
import { Pace } from '../pace.ts'
import type { Performance } from '../perform.ts'
import { Production } from '../production.ts'
import { errorOfStatus, ProviderError } from '../provider-error.ts'
import { reportUsage } from '../report-usage.ts'
import type { SimulatorState } from '../server.ts'
import { applyStreamFaults } from '../stream-faults.ts'
import type { SocketCall } from './socket-server.ts'

const maxTurnsRemembered = 256

/** `/v1/responses` as a socket: each `response.create` is a turn; turns of one lane wait for each other, lanes do not. */
export function acceptResponses(state: SimulatorState, call: SocketCall): void {
  const { socket } = call
  const lanes = new Map<string, Promise<void>>()
  const histories = new Map<string, ResponseHistory>()
  const steerable = new Map<string, Pick<Turn, 'event' | 'lane'>>()
  let turns = 0
  const begin = (event: JsonObject, lane: string | undefined): void => {
    turns += 1
    const id = `${call.id}_turn_${turns}`
    const before = lanes.get(lane ?? '') ?? Promise.resolve()
    steerable.set(`resp_${id}`, { event, lane })
    const turn = before
      .then(() => takeTurn(state, call, histories, { id, event, lane }))
      .finally(() => steerable.delete(`resp_${id}`))
    lanes.set(lane ?? '', turn)
  }
  socket.on('error', () => socket.terminate())
  socket.on('message', (data: Buffer) => {
    const event = parse(data)
    const lane = asText(event?.stream_id)
    if (event?.type === 'response.steer') {
      const id = asText(event.previous_response_id) ?? ''
      const steered = steerable.get(id)
      sendSteer(call, steered?.lane, id, event.input, steered !== undefined)
      // It goes on from there by itself when that response has ended.
      if (steered) begin({ ...steered.event, input: event.input ?? '', previous_response_id: id }, steered.lane)
      return
    }
    if (event?.type !== 'response.create') {
      const named = typeof event?.type === 'string' ? `The simulator does not know "${event.type}".` : 'No JSON event.'
      return sendError(call, lane, errorOfStatus('openai', 400, named))
    }
    begin(event, lane)
  })
}

interface Turn {
  readonly id: string
  readonly event: JsonObject
  readonly lane: string | undefined
}

async function takeTurn(
  state: SimulatorState,
  call: SocketCall,
  histories: Map<string, ResponseHistory>,
  { id, event, lane }: Turn,
): Promise<void> {
  if (call.socket.readyState !== call.socket.OPEN) return
  const { type: _, stream_id: __, ...body } = event
  const record = state.bill.open({
    billId: id,
    credentialSha256: call.credentialSha256,
    dialect: 'openai',
    endpoint: '/v1/responses',
  })
  const { bill, attempts, containers } = state
  const request: GeneratingCall = {
    id,
    dialect: 'openai',
    headers: call.headers,
    body: { ...body, stream: true },
    attempts,
    containers,
    credentialSha256: call.credentialSha256 ?? '',
    record,
  }
  try {
    const previous = asText(body.previous_response_id)
    const history = previous === undefined ? undefined : histories.get(previous)
    if (previous !== undefined && history === undefined)
      throw new ProviderError(
        400,
        'invalid_request_error',
        `Previous response with id '${previous}' not found.`,
        'previous_response_not_found',
      )
    const { directives, performance, prompt } = planResponse(request, history)
    const { metered } = performance.script
    const production = new Production({ record, bill, reply: call.socket }, performance.script, performance)
    if (body.generate === false) {
      // Only what was sent is prepared, and nothing is charged for that.
      bill.closeAt(record, 'completed', [])
      await play(
        call,
        lane,
        directives,
        { ...performance, frames: reported => silent(performance.frames(reported)) },
        production,
      )
    } else await play(call, lane, directives, performance, production)
    const tokens =
      metered.input_fresh +
      metered.input_from_cache +
      metered.input_to_cache_5m +
      metered.input_to_cache_1h +
      metered.output
    const { userText, toolAnswers } = prompt
    histories.set(performance.responseId, { tokens, cachedTokens: tokens - (tokens % 64), userText, toolAnswers })
    for (const old of histories.keys()) {
      if (histories.size <= maxTurnsRemembered) break
      histories.delete(old)
    }
  } catch (error) {
    bill.closeAt(record, 'failed', [])
    if (error instanceof ProviderError) {
      record.http_status = error.status
      return sendError(call, lane, error)
    }
    if (error instanceof DirectiveError) return sendError(call, lane, errorOfStatus('openai', 400, error.message))
    state.log('the simulator failed', { err: error, id })
    sendError(call, lane, errorOfStatus('openai', 500, 'The simulator itself failed; its log says why.'))
  }
}

type Frames = ReturnType<Performance['frames']>

/** The first two events and the last, without usage: a warm-up says nothing. */
function* silent(frames: Frames): Frames {
  for (const frame of frames) {
    const isFirst = /"type":"response\.(?:created|in_progress)"/.test(frame.sse)
    if (isFirst) yield frame
    if (frame.closing)
      yield {
        ...frame,
        sse: frame.sse
          .replace(/"output":\[.*?\],"parallel/, '"output":[],"parallel')
          .replace(/"usage":\{.*\},"user"/, '"usage":null,"user"'),
      }
  }
}

/** Plays a turn's events as frames of the socket, at its pace and with its faults. */
async function play(
  { socket }: SocketCall,
  lane: string | undefined,
  directives: Directives,
  performance: Performance,
  production: Production,
): Promise<void> {
  const pace = new Pace(directives)
  const dropAt = directives.has('drop') ? (directives.number('at') ?? 0) : undefined
  let produced = 0
  let isClosed = false
  const send = (sse: string): void => {
    for (const line of sse.split(/\r?\n/)) if (line.startsWith('data: ')) socket.send(inLane(line.slice(6), lane))
  }
  const frames = performance.frames(reportUsage(performance.script.metered, directives))
  for (const step of applyStreamFaults(frames, directives, performance.trouble)) {
    if ('lastWords' in step) {
      send(step.lastWords)
      return production.end('failed')
    }
    if ('pauseMs' in step) await production.pause(step.pauseMs)
    else {
      const wait = step.tokens > 0 ? pace.next() : 0
      if (wait > 0) await production.pause(wait)
      if (production.ended && !isClosed) return
      if (dropAt !== undefined && produced >= dropAt && (step.tokens > 0 || step.closing)) {
        production.end('failed')
        return socket.terminate()
      }
      production.produce(step)
      produced += step.tokens
      // Out before the next one is produced: a slow reader slows the model.
      if (step.closing) {
        isClosed = true
        production.end('completed')
      }
      send(step.sse)
      if (socket.bufferedAmount > 1024 * 1024) await drained(socket)
    }
    if (production.ended && !isClosed) return
  }
}

function drained(socket: SocketCall['socket']): Promise<void> {
  return new Promise(resolve => {
    const look = setInterval(() => {
      if (socket.bufferedAmount > 256 * 1024 && socket.readyState === socket.OPEN) return
      clearInterval(look)
      resolve()
    }, 5)
  })
}

function inLane(data: string, lane: string | undefined): string {
  return lane === undefined || !data.startsWith('{') ? data : `{"stream_id":${JSON.stringify(lane)},${data.slice(1)}`
}

function sendSteer(
  { socket, id }: SocketCall,
  lane: string | undefined,
  previousResponseId: string,
  input: unknown,
  isAccepted: boolean,
): void {
  const steer = { ...(isAccepted ? { id: `steer_${id}` } : {}), previous_response_id: previousResponseId }
  const failure = {
    error: { code: 'response_not_found', message: 'The target response is not available on this connection.' },
    steer: { ...steer, input },
  }
  socket.send(
    JSON.stringify({
      type: isAccepted ? 'response.steer.accepted' : 'response.steer.failed',
      sequence_number: 0,
      ...(isAccepted ? { steer } : failure),
      ...(lane === undefined ? {} : { stream_id: lane }),
    }),
  )
}

function sendError({ socket }: SocketCall, lane: string | undefined, error: ProviderError): void {
  const { status, type, code, message } = error
  socket.send(
    JSON.stringify({
      type: 'error',
      status,
      error: { type, code, message, param: null },
      ...(lane === undefined ? {} : { stream_id: lane }),
    }),
  )
}

function parse(data: Buffer): JsonObject | undefined {
  try {
    const event: unknown = JSON.parse(data.toString())
    return isObject(event) ? event : undefined
  } catch {
    return undefined
  }
}
