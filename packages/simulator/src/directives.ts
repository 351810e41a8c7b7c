import type { IncomingHttpHeaders } from 'node:http'
import { findCadence } from './cadence.ts'

const FAULTS = [
  'overloaded',
  'error',
  'silence',
  'drop',
  'truncate',
  'no_usage',
  'wrong_usage',
  'duplicate',
  'over_limit',
  'unknown',
  'garbage',
  'crlf',
  'gzip',
  'no_split',
  'usage_grows',
  'usage_shrinks',
  'spliced',
] as const

export type Fault = (typeof FAULTS)[number]

const NUMBERS = [
  'output_tokens',
  'input_tokens',
  'reasoning',
  'cached',
  'cache_write',
  'cache_write_1h',
  'searches',
  'pages',
  'file_searches',
  'code_runs',
  'pictures',
  'declined',
  'refuse',
  'first_delay_ms',
  'delay_ms',
  'tokens_per_chunk',
  'burst',
  'tool_tokens',
  'status',
  'retry_after',
  'times',
  'at',
  'at_byte',
  'silence_ms',
  'over',
  'chop',
  'snapshot',
  'report_input',
  'report_output',
  'batch_ms',
  'answer_delay_ms',
  'call_turns',
  'call_gap_ms',
] as const

const TEXTS = [
  'text',
  'alphabet',
  'tool',
  'tool_args',
  'tier',
  'served_model',
  'error_type',
  'error_code',
  'id',
  'cadence',
  'steps',
  'result',
  'turns',
] as const

export type NumberDirective = (typeof NUMBERS)[number]
export type TextDirective = (typeof TEXTS)[number]

/** What the caller asked the simulator to do with this one call. */
export interface Directives {
  readonly number: (name: NumberDirective) => number | undefined
  readonly text: (name: TextDirective) => string | undefined
  readonly has: (fault: Fault) => boolean
}

/** A directive that means nothing: said aloud, since a test whose fault is misspelt would pass for the wrong reason. */
export class DirectiveError extends Error {
  override readonly name = 'DirectiveError'
}

const NONE: Directives = { number: () => undefined, text: () => undefined, has: () => false }
const numberNames = new Set<string>(NUMBERS)
const textNames = new Set<string>(TEXTS)
const faultNames = new Set<string>(FAULTS)

/** Reads `[[sim name=value …]]` blocks in the last user text, and `x-sim-*` headers; a block wins over a header. */
export function readDirectives(headers: IncomingHttpHeaders, userText: string): Directives {
  const found = new Map<string, string>()
  for (const name in headers) {
    if (!name.startsWith('x-sim-')) continue
    const value = headers[name]
    if (typeof value === 'string') found.set(name.slice('x-sim-'.length).replaceAll('-', '_'), value)
  }
  for (let start = userText.indexOf('[[sim '); start >= 0; start = userText.indexOf('[[sim ', start + 1)) {
    const end = userText.indexOf(']]', start)
    if (end < 0) break
    for (const [name, value] of readPairs(userText.slice(start + '[[sim '.length, end))) found.set(name, value)
  }
  return found.size === 0 ? NONE : toDirectives(found)
}

const PAIR = /\s*([a-z0-9_]+)=("(?:[^"\\]|\\.)*"|\S*)\s*/gy

function* readPairs(block: string): Generator<[string, string]> {
  const text = block.trim()
  PAIR.lastIndex = 0
  while (PAIR.lastIndex < text.length) {
    const at = PAIR.lastIndex
    const match = PAIR.exec(text)
    if (match === null) throw new DirectiveError(`The simulator cannot read "${text.slice(at)}": write name=value.`)
    const [, name = '', value = ''] = match
    yield [name, value.startsWith('"') ? readQuoted(value) : value]
  }
}

function readQuoted(value: string): string {
  try {
    return String(JSON.parse(value))
  } catch {
    throw new DirectiveError(`The simulator cannot read ${value}: it is not a JSON string.`)
  }
}

function toDirectives(found: ReadonlyMap<string, string>): Directives {
  const numbers = new Map<string, number>()
  const texts = new Map<string, string>()
  const faults = new Set<string>()
  for (const [name, value] of found) {
    if (numberNames.has(name)) {
      if (!/^\d{1,9}$/.test(value)) throw new DirectiveError(`The simulator needs a whole number for "${name}".`)
      numbers.set(name, Number(value))
    } else if (textNames.has(name)) {
      texts.set(name, value)
    } else if (name === 'fault') {
      for (const fault of value.split(',')) {
        if (!faultNames.has(fault)) throw new DirectiveError(`The simulator knows no fault "${fault}".`)
        faults.add(fault)
      }
    } else {
      throw new DirectiveError(`The simulator knows no directive "${name}".`)
    }
  }
  const cadence = texts.get('cadence')
  const defaults = cadence === undefined ? undefined : findCadence(cadence)
  if (cadence !== undefined && defaults === undefined) {
    throw new DirectiveError(`The simulator knows no cadence "${cadence}".`)
  }
  return {
    number: name => numbers.get(name) ?? defaults?.[name],
    text: name => texts.get(name),
    has: fault => faults.has(fault),
  }
}
