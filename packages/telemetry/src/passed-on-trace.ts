import { AsyncLocalStorage } from 'node:async_hooks'
import { parseTraceparent } from './trace-context.ts'

/** Sets a header. */
export type SetHeader = (name: string, value: string) => void

/** A caller's trace, in the words in which it came. */
interface CallersTrace {
  traceparent: string
  tracestate: string | undefined
}

const callers = new AsyncLocalStorage<CallersTrace | undefined>()

function passCallersTrace(set: SetHeader): void {
  const trace = callers.getStore()
  if (trace === undefined) return
  set('traceparent', trace.traceparent)
  if (trace.tracestate !== undefined) set('tracestate', trace.tracestate)
}

let pass = passCallersTrace

/** Sets the headers by which others know the trace of what is being done; none where it has none. */
export function passTraceOn(set: SetHeader): void {
  pass(set)
}

/** Whoever makes spans says by which headers others know them. */
export function passTracesOnBy(how: (set: SetHeader) => void): void {
  pass = how
}

/**
 * The trace of all that is done from here to the end of the callback that runs now, and of what that starts: a caller's, as it
 * came. Where no span is made there is nothing to add to it.
 */
export function enterTrace(headers: { [name: string]: string | string[] | undefined }): void {
  const [traceparent, tracestate] = ['traceparent', 'tracestate'].map(name => [headers[name]].flat().join())
  const isTrace = traceparent !== undefined && parseTraceparent(traceparent) !== undefined
  callers.enterWith(isTrace ? { traceparent, tracestate: tracestate === '' ? undefined : tracestate } : undefined)
}
