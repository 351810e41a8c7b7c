import type { Directives } from './directives.ts'
import type { Frame } from './frames.ts'

/** A frame, or what goes wrong instead of one: a silence, or the end with an error event or nothing. */
export type Step = Frame | { readonly pauseMs: number } | { readonly lastWords: string }

/** What a dialect sends when things go wrong inside a stream. */
export interface StreamTrouble {
  readonly errorEvent: (kind: 'overloaded' | 'error', generatedTokens: number) => string
  readonly unknownEvent: string
}

/** Plays the faults that happen between events. `at=` counts generated output tokens. */
export function* applyStreamFaults(
  frames: Iterable<Frame>,
  directives: Directives,
  trouble: StreamTrouble,
): Generator<Step> {
  const at = directives.number('at')
  const errorKind = directives.has('overloaded') ? 'overloaded' : directives.has('error') ? 'error' : undefined
  let pauseMs = directives.has('silence') ? (directives.number('silence_ms') ?? 1_000) : 0
  let garbage = directives.has('garbage')
  let unknown = directives.has('unknown')
  let generated = 0
  for (const frame of directives.has('spliced') ? spliceEvents(frames) : frames) {
    const reached = at === undefined ? frame.closing === true : generated >= at || frame.closing === true
    if (errorKind !== undefined && generated >= (at ?? 0)) {
      yield { lastWords: trouble.errorEvent(errorKind, generated) }
      return
    }
    if (directives.has('truncate') && reached) {
      yield { lastWords: '' }
      return
    }
    if (pauseMs > 0 && generated >= (at ?? 0)) {
      yield { pauseMs }
      pauseMs = 0
    }
    if (garbage && generated >= (at ?? 1)) {
      yield { sse: 'data: {"broken\n\n', tokens: 0 }
      garbage = false
    }
    if (unknown && generated >= (at ?? 1)) {
      yield { sse: trouble.unknownEvent, tokens: 0 }
      unknown = false
    }
    generated += frame.tokens
    const sent = reshape(frame, directives)
    yield sent
    if (directives.has('duplicate') && sent.sse !== '') yield { sse: sent.sse, tokens: 0 }
  }
}

/** Leaves the blank line out between every second pair of events, so that two stand in one. The last event stays whole. */
function* spliceEvents(frames: Iterable<Frame>): Generator<Frame> {
  let before: Frame | undefined
  let isOpen = false
  for (const frame of frames) {
    if (before !== undefined) {
      const opens: boolean = !isOpen && before.sse !== '' && frame.sse !== ''
      yield opens ? { ...before, sse: before.sse.slice(0, -1) } : before
      isOpen = opens
    }
    before = frame
  }
  if (before !== undefined) yield before
}

function reshape(frame: Frame, directives: Directives): Frame {
  let { sse } = frame
  if (directives.has('unknown')) sse = sse.replace('data: {', 'data: {"sim_future_field":{"nested":[1,null,"x"]},')
  if (directives.has('crlf')) sse = sse.replaceAll('\n', '\r\n')
  return sse === frame.sse ? frame : { ...frame, sse }
}
