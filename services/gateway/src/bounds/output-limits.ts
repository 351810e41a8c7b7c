import type { Dialect } from '@sluice/contracts'
import { parseCount } from '../scan-json.ts'
import type { ScannedBody } from './scanned-body.ts'

/** Where a smaller limit of the output can be put into a request. */
export interface ClampPlace {
  /** Members that get it: all that name a limit now, else the one that is added. */
  readonly members: readonly string[]
  /** Answers that the limit holds for, each on its own. */
  readonly choices: number
  /** Below this many tokens for each answer the request would be refused, or of no use. */
  readonly leastEach: number
}

/** What a request says of the length of its answer. */
export interface OutputLimits {
  /** Over all answers; undefined: it sets no limit. */
  readonly tokens: number | undefined
  readonly choices: number
  /** Members that name a limit, whatever their value is. */
  readonly members: readonly string[]
}

/** Where nobody has set a limit, the member by which it is set. */
const added: Record<string, string> = {
  chat: 'max_completion_tokens',
  responses: 'max_output_tokens',
  messages: 'max_tokens',
  completion: 'max_tokens_to_sample',
}

/** Members that limit the answer, by the kind of the endpoint's replies. */
const named: Record<string, readonly string[]> = {
  chat: ['max_completion_tokens', 'max_tokens'],
  responses: ['max_output_tokens'],
  messages: ['max_tokens'],
  completion: ['max_tokens_to_sample'],
}

const none: readonly string[] = []

/** Reads the limits. A value that is no number is none: whatever the provider makes of it, the bound does not count on it. */
export function readOutputLimits(shape: string, dialect: Dialect, { bytes, object }: ScannedBody): OutputLimits {
  const { members } = object
  let present: string[] | undefined
  let tokens: number | undefined
  let isLimited = true
  for (const name of named[shape] ?? none) {
    const span = members.get(name)
    if (!span) continue
    if (present) present.push(name)
    else present = [name]
    const limit = parseCount(bytes, span)
    // Some servers of OpenAI's dialect take 0 for "as much as fits".
    if (limit === undefined || (limit === 0 && dialect === 'openai')) {
      // `null` is as good as absent; anything else may be taken for a limit of its own.
      if (bytes[span.start] !== 0x6e) isLimited = false
    } else tokens = Math.max(tokens ?? 0, limit)
  }
  const choices = shape === 'chat' ? readChoices({ bytes, object }) : 1
  return {
    tokens: isLimited && tokens !== undefined ? tokens * choices : undefined,
    choices,
    members: present ?? none,
  }
}

/** More than any provider makes. */
const mostChoices = 128

function readChoices({ bytes, object: { members } }: ScannedBody): number {
  let choices = 1
  for (const name of ['n', 'best_of']) {
    const span = members.get(name)
    if (!span || bytes[span.start] === 0x6e) continue
    choices = Math.max(choices, parseCount(bytes, span) ?? mostChoices)
  }
  return choices
}

/** Undefined: requests of this kind have no limit that could be made smaller. */
export function clampPlaceOf(shape: string, limits: OutputLimits, leastEach: number): ClampPlace | undefined {
  const member = added[shape]
  if (member === undefined) return undefined
  return { members: limits.members.length > 0 ? limits.members : [member], choices: limits.choices, leastEach }
}
