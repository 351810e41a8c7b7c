import { setTimeout as wait } from 'node:timers/promises'
import { type Call, replyHeaders, sendJson } from './call.ts'
import type { Metered } from './cost.ts'
import type { Directives } from './directives.ts'
import type { Frame } from './frames.ts'
import { errorOfStatus, sendError } from './provider-error.ts'
import { ReplySink } from './reply-sink.ts'
import type { Script } from './script.ts'
import { applyStreamFaults, type StreamTrouble } from './stream-faults.ts'

/** One generation in a dialect's terms. */
export interface Performance {
  readonly responseId: string
  readonly script: Script
  readonly streamed: boolean
  /** The whole answer, with this usage in it; `undefined` leaves usage out. */
  readonly answer: (reported: Metered | undefined) => object
  /** The same answer as events. */
  readonly frames: (reported: Metered | undefined) => Iterable<Frame>
  readonly trouble: StreamTrouble
}

const FLUSH_CHARACTERS = 16_384

/** Plays a generation to its end, an injected fault or the client's leaving, and closes its bill with what was produced. */
export async function perform(call: Call, directives: Directives, performance: Performance): Promise<void> {
  const { record, bill, reply } = call
  if (record === undefined) throw new Error('Only a billable endpoint performs.')
  const { script } = performance
  record.response_id = performance.responseId
  record.model = script.model
  record.served_tier = script.tier
  record.streamed = performance.streamed

  const progress = { output: 0, thinking: 0, searches: 0 }
  const close = (ended: 'completed' | 'aborted' | 'failed') => {
    record.generated_output_tokens = progress.output
    const metered =
      ended === 'completed'
        ? script.metered
        : {
            ...script.metered,
            output: progress.output,
            output_thinking: progress.thinking,
            web_searches: progress.searches,
          }
    bill.close(record, ended, metered, script)
  }
  const gone = new AbortController()
  reply.once('close', () => {
    if (record.ended !== 'running') return
    record.abort_seen_at_ms = Date.now()
    close('aborted')
    gone.abort()
  })

  const reported = reportUsage(script.metered, directives)
  record.http_status = 200
  const pace = readPace(directives)
  const frames = performance.frames(reported)

  if (!performance.streamed) {
    if (directives.has('overloaded') || directives.has('error')) {
      const status = directives.has('error') ? 500 : call.dialect === 'openai' ? 503 : 529
      sendError(call, errorOfStatus(call.dialect, status, 'The simulator was told to fail.'))
      return
    }
    if (directives.has('silence')) await pause(directives.number('silence_ms') ?? 1_000, gone.signal)
    await elapse(frames, pace, progress, gone.signal)
    if (gone.signal.aborted) return
    progress.output = script.metered.output
    await answerPlain(call, directives, performance.answer(reported), close)
    return
  }

  const sink = new ReplySink(reply, {
    chopBytes: directives.number('chop'),
    dropAtByte: directives.has('drop') ? (directives.number('at_byte') ?? 0) : undefined,
  })
  reply.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache',
    ...replyHeaders(call),
  })
  let pending = ''
  const flush = async () => {
    const text = pending
    pending = ''
    // A drop is the provider's own failure: the bill must not read it as the client's leaving.
    if (directives.has('drop')) dropped = () => close('failed')
    if (text !== '') await sink.write(text)
  }
  let dropped: (() => void) | undefined
  if (directives.has('drop')) {
    reply.prependOnceListener('close', () => {
      if (sink.dropped) dropped?.()
    })
  }
  let inBurst = 0
  let started = false
  for (const step of applyStreamFaults(frames, directives, performance.trouble)) {
    if ('pauseMs' in step) {
      await flush()
      await pause(step.pauseMs, gone.signal)
    } else if ('fail' in step) {
      await flush()
      if (gone.signal.aborted) return
      close('failed')
      reply.end()
      return
    } else {
      if (step.tokens > 0) {
        if (!started || inBurst >= pace.burst) {
          const delay = started ? pace.delayMs : pace.firstDelayMs
          if (delay > 0) {
            await flush()
            await pause(delay, gone.signal)
          }
          inBurst = 0
        }
        started = true
        inBurst += 1
        if (gone.signal.aborted) return
        progress.output += step.tokens
        if (step.thinking) progress.thinking += step.tokens
      }
      progress.searches += step.searches ?? 0
      pending += step.sse
      if (pending.length > FLUSH_CHARACTERS) await flush()
    }
    if (gone.signal.aborted || sink.dropped) return
  }
  if (directives.has('drop') || directives.number('chop') !== undefined) await flush()
  if (gone.signal.aborted || sink.dropped) return
  close('completed')
  reply.end(pending)
}

async function answerPlain(
  call: Call,
  directives: Directives,
  answer: object,
  close: (ended: 'completed' | 'failed') => void,
): Promise<void> {
  const body = directives.has('unknown') ? { sim_future_field: { nested: [1, null, 'x'] }, ...answer } : answer
  const chopBytes = directives.number('chop')
  if (!directives.has('drop') && chopBytes === undefined) {
    close('completed')
    sendJson(call, 200, body)
    return
  }
  const text = JSON.stringify(body)
  const sink = new ReplySink(call.reply, {
    chopBytes,
    dropAtByte: directives.has('drop') ? (directives.number('at_byte') ?? 0) : undefined,
  })
  close(directives.has('drop') ? 'failed' : 'completed')
  call.reply.writeHead(200, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    ...replyHeaders(call),
  })
  await sink.write(text)
  if (!sink.dropped) call.reply.end()
}

interface Pace {
  readonly firstDelayMs: number
  readonly delayMs: number
  readonly burst: number
}

function readPace(directives: Directives): Pace {
  return {
    firstDelayMs: directives.number('first_delay_ms') ?? 0,
    delayMs: directives.number('delay_ms') ?? 0,
    burst: Math.max(1, directives.number('burst') ?? 1),
  }
}

/** Lets the time of an answer pass that is sent whole, producing its tokens at the same pace as a stream would. */
async function elapse(
  frames: Iterable<Frame>,
  pace: Pace,
  progress: { output: number; thinking: number; searches: number },
  gone: AbortSignal,
): Promise<void> {
  if (pace.firstDelayMs === 0 && pace.delayMs === 0) return
  let inBurst = pace.burst
  let delay = pace.firstDelayMs
  for (const frame of frames) {
    progress.searches += frame.searches ?? 0
    if (frame.tokens === 0) continue
    if (inBurst >= pace.burst) {
      await pause(delay, gone)
      delay = pace.delayMs
      inBurst = 0
    }
    if (gone.aborted) return
    inBurst += 1
    progress.output += frame.tokens
    if (frame.thinking) progress.thinking += frame.tokens
  }
}

async function pause(ms: number, gone: AbortSignal): Promise<void> {
  if (ms === 0 || gone.aborted) return
  // An abort ends the wait; the caller looks at the signal.
  await wait(ms, undefined, { signal: gone }).catch(() => undefined)
}

/** Faults in what is reported; the bill stays right. */
function reportUsage(metered: Metered, directives: Directives): Metered | undefined {
  if (directives.has('no_usage')) return undefined
  if (!directives.has('wrong_usage')) return metered
  return { ...metered, input_fresh: metered.input_fresh * 2 + 1, output: metered.output * 2 + 1 }
}
