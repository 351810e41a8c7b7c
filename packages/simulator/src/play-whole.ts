import { gzipSync } from 'node:zlib'
import { type Call, replyHeaders } from './call.ts'
import type { Directives } from './directives.ts'
import type { Frame } from './frames.ts'
import type { Pace } from './pace.ts'
import type { Producing } from './production.ts'
import { errorOfStatus } from './provider-error.ts'
import { ReplySink, readByteFaults } from './reply-sink.ts'

/** An answer sent whole, after the time its tokens take. */
export async function playWhole(play: {
  readonly call: Call
  readonly directives: Directives
  readonly production: Producing
  readonly pace: Pace
  readonly frames: Iterable<Frame>
  /** An object goes as JSON, text as it is. */
  readonly answer: object | string
}): Promise<void> {
  const { call, directives, production, pace } = play
  if (directives.has('overloaded')) {
    throw errorOfStatus(call.dialect, call.dialect === 'openai' ? 503 : 529, 'The simulated engine is overloaded.')
  }
  if (directives.has('error')) throw errorOfStatus(call.dialect, 500, 'The simulated engine failed.')
  if (directives.has('silence')) await production.pause(directives.number('silence_ms') ?? 1_000)
  if (pace.isInstant) {
    production.produceAll()
  } else {
    for (const frame of play.frames) {
      if (frame.tokens > 0) await production.pause(pace.next())
      if (production.ended) return
      production.produce(frame)
    }
  }
  if (production.ended) return

  await sendWhole(play)
}

/** Sends an answer that is ready, with the faults of its bytes, and closes its bill. */
export async function sendWhole(play: {
  readonly call: Call
  readonly directives: Directives
  readonly production: Pick<Producing, 'end'>
  readonly answer: object | string
}): Promise<void> {
  const { call, directives, production } = play
  const answer =
    directives.has('unknown') && typeof play.answer !== 'string'
      ? { sim_future_field: { nested: [1, null, 'x'] }, ...play.answer }
      : play.answer
  const body = encode(call, directives, answer)
  const faults = readByteFaults(directives)
  const sink = new ReplySink(call.reply, faults, () => production.end('failed'))
  call.reply.writeHead(200, {
    'content-type': typeof answer === 'string' ? 'text/plain; charset=utf-8' : 'application/json',
    'content-length': body.bytes.length,
    ...body.headers,
    ...replyHeaders(call),
  })
  if (faults === undefined) {
    production.end('completed')
    call.reply.end(body.bytes)
    return
  }
  await sink.write(body.bytes)
  production.end('completed')
  if (!sink.dropped) call.reply.end()
}

/** Compressed where the client takes it, as providers behind a CDN do. */
function encode(
  call: Call,
  directives: Directives,
  answer: object | string,
): { bytes: Buffer; headers: { [name: string]: string } } {
  const bytes = Buffer.from(typeof answer === 'string' ? answer : JSON.stringify(answer))
  if (!directives.has('gzip') || !/\bgzip\b/.test(String(call.headers['accept-encoding'] ?? ''))) {
    return { bytes, headers: {} }
  }
  return { bytes: gzipSync(bytes), headers: { 'content-encoding': 'gzip', vary: 'accept-encoding' } }
}
