import { type Beside, turnBeside } from '../beside.ts'
import type { Metered } from '../cost.ts'
import { DirectiveError, type Directives } from '../directives.ts'
import { findModel, type SimPrice } from '../prices.ts'
import type { Script } from '../script.ts'

/** A turn that a message took beside the one that answers. */
export interface Turn {
  readonly type: 'message' | 'compaction' | 'advisor_message'
  /** Absent where the dialect tells none. */
  readonly model: string | undefined
  readonly input: number
  readonly output: number
  /** The top level of the usage counts it too. */
  readonly isInTopLevel: boolean
  readonly beside: Beside | undefined
}

interface OwnModel {
  /** As replies name it. */
  readonly servedModel: string
  readonly model: string
  readonly price: SimPrice
}

const ORDER = /^(loop|compaction|advisor)(?:\/([\w.-]+))?:(\d{1,9}):(\d{1,9})$/

/** The turns that `turns=compaction:5000:40,advisor/claude-opus-4-8:300:60,loop:900:20` orders. @throws DirectiveError */
export function readTurns(own: OwnModel, directives: Directives): Turn[] {
  const orders = directives.text('turns')?.split(',') ?? []
  return orders.map(order => {
    const [, kind, name, input, output] = ORDER.exec(order) ?? []
    const other = name === undefined ? undefined : findModel(name)
    if (kind === undefined || (kind === 'advisor') !== (other !== undefined))
      throw new DirectiveError(`The simulator cannot read the turn "${order}".`)
    const { model, price } = other ?? own
    const used = { input: Number(input), output: Number(output) }
    return {
      type: kind === 'loop' ? 'message' : kind === 'compaction' ? 'compaction' : 'advisor_message',
      model: kind === 'compaction' ? undefined : (name ?? own.servedModel),
      ...used,
      isInTopLevel: kind === 'loop',
      beside: charge(model, price, used),
    } as const
  })
}

/** The turn of a model that declines after so many tokens; one that says nothing costs nothing. */
export function declinedTurn({ servedModel, model, price }: OwnModel, input: number, output: number): Turn {
  const beside = output === 0 ? undefined : charge(model, price, { input, output })
  return { type: 'message', model: servedModel, input, output, isInTopLevel: false, beside }
}

function charge(model: string, price: SimPrice, { input, output }: { input: number; output: number }): Beside {
  return turnBeside(model, price, { input_fresh: input, input_from_cache: 0, output })
}

/** What the top level of the usage says: the answering turn, and the turns before it in the same loop. */
export function topLevelOf(turns: readonly Turn[], answering: Metered): Metered {
  let { input_fresh, output } = answering
  for (const turn of turns) {
    if (!turn.isInTopLevel) continue
    input_fresh += turn.input
    output += turn.output
  }
  return { ...answering, input_fresh, output }
}

/** The turns as the dialect lists them, the answering one last; nothing where that is all. */
export function iterationsOf(turns: readonly Turn[], script: Script, answering: Metered): object[] | undefined {
  if (turns.length === 0) return undefined
  const hasDeclined = turns.some(turn => turn.type === 'message' && !turn.isInTopLevel)
  return [
    ...turns.map(({ type, model, input, output }) => ({
      type,
      ...(model === undefined ? {} : { model }),
      ...tokens({ input_fresh: input, input_from_cache: 0, input_to_cache_5m: 0, input_to_cache_1h: 0, output }),
    })),
    { type: hasDeclined ? 'fallback_message' : 'message', model: script.servedModel, ...tokens(answering) },
  ]
}

type Tokens = Pick<Metered, 'input_fresh' | 'input_from_cache' | 'input_to_cache_5m' | 'input_to_cache_1h' | 'output'>

function tokens(used: Tokens): object {
  return {
    input_tokens: used.input_fresh,
    cache_read_input_tokens: used.input_from_cache,
    cache_creation_input_tokens: used.input_to_cache_5m + used.input_to_cache_1h,
    cache_creation: {
      ephemeral_5m_input_tokens: used.input_to_cache_5m,
      ephemeral_1h_input_tokens: used.input_to_cache_1h,
    },
    output_tokens: used.output,
  }
}
