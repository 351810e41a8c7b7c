import type { Quantities } from '@sluice/contracts'
import { type JsonObject, nameOf } from '../json-fields.ts'
import { addQuantities, measuredAs } from '../usage-result.ts'
import { messageTokens } from './message-tokens.ts'

interface Part {
  model: string
  quantities: Quantities
}

/** What the turns of one message took. */
export interface Iterations {
  /** Turns of the model that answered: the top level of the usage repeats them. */
  answering: Quantities
  /** Turns that stand only in the list: compactions, advisors, models that declined. */
  beside: Quantities
  /** Of `beside`, what other models took, a turn each. */
  parts: Part[]
}

/** Each becomes lines of the event, which is bounded; a message has a handful. */
const maxParts = 64

/**
 * Reads the list of turns: a loop of server tools, a compaction, an advisor, a model that declined before the one that
 * answered. Each turn is charged as its own model; one that was declined before its first token is not charged.
 */
export function readIterations(iterations: readonly JsonObject[], model: string | undefined): Iterations {
  const result: Iterations = { answering: {}, beside: {}, parts: [] }
  for (const iteration of iterations) {
    const quantities = messageTokens(iteration)
    const own = nameOf(iteration.model) ?? model
    const isTurn = iteration.type === undefined || iteration.type === 'message' || iteration.type === 'fallback_message'
    if (isTurn && own === model) {
      addQuantities(result.answering, quantities)
      continue
    }
    if (isTurn && quantities.out_text === 0) continue
    addQuantities(result.beside, quantities)
    if (own !== undefined && own !== model) addPart(result.parts, own, measuredAs(quantities, 'measured').quantities)
  }
  return result
}

/** What the answering model took: as the top level says, or as the list says where that is more. */
export function answeredBy(answering: Quantities, topLevel: Quantities): Quantities {
  return sumOf(answering) >= sumOf(topLevel) ? answering : topLevel
}

/** Past the bound, a part joins the last of its model; one of yet another model stays with what the call's own model took. */
function addPart(parts: Part[], model: string, quantities: Quantities): void {
  if (parts.length < maxParts) {
    parts.push({ model, quantities })
    return
  }
  const last = parts.findLast(part => part.model === model)
  if (last) addQuantities(last.quantities, quantities)
}

function sumOf(quantities: Quantities): number {
  const { in_text = 0, in_cache_read = 0, in_cache_write_5m = 0, in_cache_write_1h = 0 } = quantities
  const { in_cache_write_other = 0, out_text = 0 } = quantities
  return in_text + in_cache_read + in_cache_write_5m + in_cache_write_1h + in_cache_write_other + out_text
}
