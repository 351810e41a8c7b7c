import type { Metered } from './cost.ts'
import type { Directives } from './directives.ts'

/** What a reply says it used: the truth, or the lie that was ordered. The bill stays right. */
export function reportUsage(metered: Metered, directives: Directives): Metered | undefined {
  if (directives.has('no_usage')) return undefined
  const told = directives.has('usage_shrinks') ? halve(metered) : tellNumbers(metered, directives)
  if (!directives.has('wrong_usage')) return told
  return { ...told, input_fresh: told.input_fresh * 2 + 1, output: told.output * 2 + 1 }
}

/** What a stream says once before that, where it was ordered to say something else first. */
export function reportEarly(metered: Metered, directives: Directives): Metered | undefined {
  if (directives.has('usage_grows')) return halve(metered)
  return directives.has('usage_shrinks') ? metered : undefined
}

function tellNumbers(metered: Metered, directives: Directives): Metered {
  const input = directives.number('report_input')
  const output = directives.number('report_output')
  const told = input === undefined ? metered : { ...metered, input_fresh: input }
  return output === undefined ? told : { ...told, output, output_thinking: Math.min(output, metered.output_thinking) }
}

function halve(metered: Metered): Metered {
  const output = Math.ceil(metered.output / 2)
  return {
    ...metered,
    output,
    output_thinking: Math.min(output, metered.output_thinking),
    audio_output: Math.ceil(metered.audio_output / 2),
  }
}
