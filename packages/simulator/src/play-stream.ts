import { type Call, replyHeaders } from './call.ts'
import type { Directives } from './directives.ts'
import type { Frame } from './frames.ts'
import type { Pace } from './pace.ts'
import type { Producing } from './production.ts'
import { ReplySink, readByteFaults } from './reply-sink.ts'
import { applyStreamFaults, type StreamTrouble } from './stream-faults.ts'

const FLUSH_CHARACTERS = 16_384

/** An answer sent as events, at its pace and with its faults. */
export async function playStream(play: {
  readonly call: Call
  readonly directives: Directives
  readonly production: Producing
  readonly pace: Pace
  readonly frames: Iterable<Frame>
  readonly trouble: StreamTrouble
}): Promise<void> {
  const { call, directives, production, pace } = play
  const { reply } = call
  reply.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache',
    ...replyHeaders(call),
  })
  // A real provider's headers leave before the first token: an early client sees the stream open while the model thinks.
  if (!pace.isInstant) reply.flushHeaders()
  const faults = readByteFaults(directives)
  const sink = new ReplySink(reply, faults, () => production.end('failed'))
  // Events that come without a wait between them leave in one write.
  let pending = ''
  const flush = async () => {
    const text = pending
    pending = ''
    if (text !== '') await sink.write(text)
  }

  for (const step of applyStreamFaults(play.frames, directives, play.trouble)) {
    if ('lastWords' in step) {
      pending += step.lastWords
      await flush()
      production.end('failed')
      reply.end()
      return
    }
    if ('pauseMs' in step) {
      await flush()
      await production.pause(step.pauseMs)
    } else {
      const wait = step.tokens > 0 ? pace.next() : 0
      if (wait > 0) {
        await flush()
        await production.pause(wait)
      }
      if (production.ended) return
      production.produce(step)
      pending += step.sse
      if (pending.length > FLUSH_CHARACTERS) await flush()
    }
    if (production.ended) return
  }
  if (faults !== undefined) await flush()
  if (production.ended) return
  production.end('completed')
  reply.end(pending)
}
