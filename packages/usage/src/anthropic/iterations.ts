import { type Quantities, totalInputTokens } from '@sluice/contracts'
import { type JsonObject, nameOf } from '../json-fields.ts'
import { addQuantities, measuredAs } from '../usage-result.ts'
import { messageTokens } from './message-tokens.ts'

interface Part {
  model: string
  quantities: Quantities
}

/** A turn of the model that answered. */
interface OwnTurn {
  quantities: Quantities
  /** The top level of the usage repeats it. */
  isAnswer: boolean
}

/** What the turns of one message took. */
export interface Iterations {
  /** Turns of the model that answered: the top level of the usage repeats them. */
  answering: Quantities
  /** Turns that stand only in the list: compactions, advisors, models that declined. */
  beside: Quantities
  /** What other models took, a turn each. */
  parts: Part[]
  ownTurns: OwnTurn[]
}

/** Each becomes lines of the event, which is bounded; a message has a handful. */
const maxParts = 64
/** No model has a price of its own for prompts that are shorter. */
const shortestLongPrompt = 100_000

/**
 * Reads the list of turns: a loop of server tools, a compaction, an advisor, a model that declined before the one that
 * answered. Each turn is charged as its own model; one that was declined before its first token is not charged.
 */
export function readIterations(iterations: readonly JsonObject[], model: string | undefined): Iterations {
  const result: Iterations = { answering: {}, beside: {}, parts: [], ownTurns: [] }
  for (const iteration of iterations) {
    const quantities = messageTokens(iteration)
    const own = nameOf(iteration.model) ?? model
    const isTurn = iteration.type === undefined || iteration.type === 'message' || iteration.type === 'fallback_message'
    if (isTurn && own === model) {
      addQuantities(result.answering, quantities)
      result.ownTurns.push({ quantities, isAnswer: true })
      continue
    }
    if (isTurn && quantities.out_text === 0) continue
    addQuantities(result.beside, quantities)
    if (own === model) result.ownTurns.push({ quantities, isAnswer: false })
    else if (own !== undefined) addPart(result.parts, own, measuredAs(quantities, 'measured').quantities)
  }
  return result
}

/**
 * The parts of a message: what other models took, and turns of its own where their lengths may have prices of their own. Each
 * turn is priced by its own length, never by the length of all together.
 * @param answer what is charged of the answer beside the list; undefined: the turns of the list are the answer
 */
export function partsOf(
  { parts, ownTurns }: Iterations,
  model: string | undefined,
  answer: Quantities | undefined,
): Part[] {
  const listed = ownTurns.filter(turn => !turn.isAnswer || answer === undefined).map(turn => turn.quantities)
  const all = answer && sumOf(answer) > 0 ? [...listed, answer] : listed
  if (model === undefined || all.length < 2 || inputOf(all) < shortestLongPrompt) return parts
  const result = [...parts]
  for (const turn of listed) addPart(result, model, measuredAs(turn, 'measured').quantities)
  return result
}

function inputOf(turns: readonly Quantities[]): number {
  return turns.reduce((total, turn) => total + totalInputTokens(turn), 0)
}

/** What the answering model took as the list tells it; undefined where the top level tells more. */
export function answerOfList({ answering }: Iterations, topLevel: Quantities): Quantities | undefined {
  if (sumOf(answering) < sumOf(topLevel)) return undefined
  // How much of it was thought stands at the top level alone.
  const { out_text = 0, out_reasoning = 0 } = answering
  return { ...answering, out_reasoning: Math.min(out_text, Math.max(out_reasoning, topLevel.out_reasoning ?? 0)) }
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
