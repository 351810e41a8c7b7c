import { asList, asObject, asText, type JsonObject } from '../json.ts'
import { type Prompt, PromptTally } from '../prompt.ts'

/** Counts a Messages request in the order its cache sees it: tools, system, messages. */
export function readMessagesPrompt(body: JsonObject): Prompt {
  const tally = new PromptTally()
  for (const tool of asList(body.tools)) tally.addJson(tool)
  tally.addText(asText(body.system))
  for (const block of asList(body.system)) tally.addPart(asObject(block))
  for (const message of asList(body.messages)) {
    const { role, content } = asObject(message)
    tally.addMessage(asText(role), content)
  }
  return tally.total()
}
