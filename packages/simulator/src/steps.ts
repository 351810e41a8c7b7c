import { DirectiveError, type Directives } from './directives.ts'
import { isObject } from './json.ts'
import type { Prompt } from './prompt.ts'

/** One turn of a scripted task: a tool to call, something to say, or both. */
export interface Step {
  readonly tool: string | undefined
  readonly arguments: string | undefined
  readonly text: string | undefined
}

/** The turn of `steps=[…]` that an agent has come to: each answer of a tool leads to the next, the last one stays. */
export function readStep(directives: Directives, prompt: Pick<Prompt, 'toolAnswers'>): Step | undefined {
  const text = directives.text('steps')
  if (text === undefined) return undefined
  const steps = parseList(text)
  const step = steps[Math.min(prompt.toolAnswers, steps.length - 1)]
  if (!isObject(step)) throw misread()
  return {
    tool: readText(step.tool),
    arguments: step.args === undefined ? undefined : JSON.stringify(step.args),
    text: readText(step.text) ?? (step.tool === undefined ? undefined : ''),
  }
}

function parseList(text: string): readonly unknown[] {
  try {
    const parsed: unknown = JSON.parse(text)
    if (Array.isArray(parsed) && parsed.length > 0) return parsed
  } catch {
    // Falls through to the same answer as JSON that is no list.
  }
  throw misread()
}

function readText(value: unknown): string | undefined {
  if (value === undefined || typeof value === 'string') return value
  throw misread()
}

function misread(): DirectiveError {
  return new DirectiveError('The simulator needs "steps" as a JSON list of {"tool", "args"} and {"text"}.')
}
