import { boundPrompt, type CallBound, sizeOf, type TextCall } from './call-bound.ts'
import { newTextOf, tokensBehind } from './counted-prompts.ts'
import type { PromptSize } from './prompt-size.ts'

/** Counts all tokens of a text, at once or in a thread of its own; it may be turned away, then bytes have to do. */
export type CountText = (text: string) => number | Promise<number>

/** Models that read by the vocabulary that texts are counted with. */
const sameVocabulary = /^(?:ft:)?(?:gpt-4o|chatgpt-4o|gpt-4\.[1-9]|gpt-[5-9]|gpt-audio|gpt-realtime|gpt-oss|o[1-9])/

/**
 * The prompt of a call can be counted by its tokens. Of models with another vocabulary bytes have to do: how many tokens theirs
 * makes of what this one takes for a single one, nobody here knows.
 */
export function isCountable({ endpoint, dialect, model }: TextCall): boolean {
  return endpoint.shape !== 'embeddings' && dialect === 'openai' && sameVocabulary.test(model)
}

/**
 * Bounds a call again by the tokens of its prompt, where bytes do not fit: its JSON is counted as it stands, which has more
 * tokens than what it says, and a tenth for what is put around it; of a prompt that begins as one that was counted, what is new.
 */
export function tightenTextBound(call: TextCall, loose: CallBound, count: CountText): CallBound | Promise<CallBound> {
  if (loose.tightness === 'tight' || !isCountable(call)) return loose
  const { counted: beginning } = call
  const size = sizeOf(call)
  const tighten = (found: number): CallBound => {
    const tokens = Math.ceil((found * 11) / 10)
    return boundPrompt(call, withText(size, beginning ? tokensBehind(beginning, tokens) : tokens), 'tight')
  }
  const counted = count(textOf(call))
  return counted instanceof Promise ? counted.then(tighten, () => loose) : tighten(counted)
}

function withText(size: PromptSize, tokens: number): PromptSize {
  return { ...size, textTokens: Math.min(size.textTokens, tokens) }
}

/** The body without its long base64; of one that was counted in part, what is new. */
function textOf(call: TextCall): string {
  const { bytes, object } = call.body
  if (call.counted) return newTextOf(call, call.counted).toString('utf8')
  if (object.binaries.length === 0) return bytes.toString('utf8')
  let text = ''
  let at = 0
  for (const { start, end } of object.binaries) {
    text += bytes.toString('utf8', at, start)
    at = end
  }
  return text + bytes.toString('utf8', at)
}
