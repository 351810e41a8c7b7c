import type { Directives } from '../directives.ts'
import { namedEvent } from '../frames.ts'
import type { StreamTrouble } from '../stream-faults.ts'

/** A usage object with its total, and with the faults that were ordered in what is reported. */
export function reportMedia(
  directives: Directives,
  usage: { readonly input_tokens: number; readonly output_tokens: number; readonly [member: string]: unknown },
): object | undefined {
  if (directives.has('no_usage')) return undefined
  const factor = directives.has('wrong_usage') ? 2 : 1
  const input = usage.input_tokens * factor + (factor - 1)
  const output = usage.output_tokens * factor + (factor - 1)
  return { ...usage, input_tokens: input, output_tokens: output, total_tokens: input + output }
}

/** What streams of sound, transcripts and images say when things go wrong. */
export function mediaTrouble(directives: Directives): StreamTrouble {
  return {
    errorEvent: kind => {
      const message =
        kind === 'overloaded' ? 'The simulated engine is overloaded.' : 'The simulated engine failed midway.'
      const code = directives.text('error_code') ?? (kind === 'overloaded' ? 'server_overloaded' : 'server_error')
      return namedEvent(
        'error',
        JSON.stringify({ type: 'error', error: { type: 'server_error', code, message, param: null } }),
      )
    },
    unknownEvent: namedEvent('media.future_thing', '{"type":"media.future_thing","delta":{"x":1}}'),
  }
}
