import { asList, asObject, asText, type JsonObject } from '../json.ts'
import { type Prompt, PromptTally } from '../prompt.ts'

/** Counts a Responses request: tools, instructions, input. */
export function readResponsesPrompt(body: JsonObject): Prompt {
  const tally = new PromptTally()
  tally.addJson(body.tools)
  tally.addText(asText(body.instructions))
  if (typeof body.input === 'string') tally.addMessage('user', body.input)
  for (const entry of asList(body.input)) {
    const item = asObject(entry)
    if (item.content !== undefined && asText(item.role) !== undefined) tally.addMessage(asText(item.role), item.content)
    else tally.addJson(item)
    if (asText(item.type)?.endsWith('_call_output')) tally.toolAnswered()
  }
  return tally.total()
}
