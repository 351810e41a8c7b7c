import type { QuantityName } from '@sluice/contracts'
import { type CompiledPriceBook, findUnpriced } from '@sluice/pricing'
import type { Principal } from './authenticate.ts'
import { Refusal } from './refusal.ts'
import type { ReplyShapeName } from './reply-reader.ts'

/** `provider/model`, or a prefix that ends in `*`. An empty list allows nothing. */
export function isListed(list: readonly string[], provider: string, model: string): boolean {
  const name = `${provider}/${model}`
  return list.some(entry => (entry.endsWith('*') ? name.startsWith(entry.slice(0, -1)) : entry === name))
}

/** Says whether credential and project allow a model; prices are not asked. */
export function isAllowed(principal: Principal, provider: string, model: string): boolean {
  const { allowed_models: projectList } = principal.project
  if (projectList !== null && !isListed(projectList, provider, model)) return false
  return principal.modelLists.every(list => isListed(list, provider, model))
}

export interface PriceBooksOfCall {
  book: CompiledPriceBook
  override: CompiledPriceBook | undefined
}

/** What a model is used for: the reply to a call, or a tool that works for another model. */
export type ModelUse = ReplyShapeName | 'tool'

/** What every call of a kind uses: a model without a rate for it is refused before it is called. */
const needed: Partial<Record<ModelUse, readonly QuantityName[]>> = {
  chat: ['in_text', 'out_text'],
  responses: ['in_text', 'out_text'],
  messages: ['in_text', 'out_text'],
  compaction: ['in_text', 'out_text'],
  completion: ['in_text', 'out_text'],
  embeddings: ['in_text'],
}

/**
 * Lets a model pass: every list must allow it, and it must have a price, so that nothing is ever free in silence. What of a
 * priced model has no rate (searches, say) may show only in the reply: it is left out of the cost, and the event says so.
 * @param also what the request tells that it will use beside that
 * @param member where the request names it, if not as its own `model`
 * @throws Refusal 403 `model_not_allowed`, 400 `model_not_priced`
 */
export function allowModel(
  principal: Principal,
  provider: string,
  model: string,
  prices: PriceBooksOfCall,
  use: ModelUse,
  member?: string,
  also: readonly QuantityName[] = [],
): void {
  const { identity, project, modelLists } = principal
  const last = member === undefined && also.length === 0 ? lastAllowed.get(identity) : undefined
  if (
    last?.model === model &&
    last.provider === provider &&
    last.use === use &&
    last.project === project &&
    last.book === prices.book &&
    last.override === prices.override &&
    areSame(last.modelLists, modelLists)
  )
    return
  allow(principal, provider, model, prices, use, member, also)
  const { book, override } = prices
  if (member === undefined && also.length === 0)
    lastAllowed.set(identity, { provider, model, use, project, modelLists, book, override })
}

/** What was let pass last for each identity: most calls of one caller are for the same model. */
const lastAllowed = new WeakMap<Principal['identity'], Allowed>()

interface Allowed extends Pick<Principal, 'project' | 'modelLists'>, PriceBooksOfCall {
  provider: string
  model: string
  use: ModelUse
}

function areSame(one: Principal['modelLists'], other: Principal['modelLists']): boolean {
  if (one.length !== other.length) return false
  for (let at = 0; at < one.length; at++) if (one[at] !== other[at]) return false
  return true
}

function allow(
  principal: Principal,
  provider: string,
  model: string,
  prices: PriceBooksOfCall,
  use: ModelUse,
  member: string | undefined,
  also: readonly QuantityName[],
): void {
  const named = (name: string): string => (member === undefined ? `"${name}"` : `"${name}", named in "${member}",`)
  if (!isAllowed(principal, provider, model)) {
    throw new Refusal(
      'model_not_allowed',
      `Model ${named(`${provider}/${model}`)} is not allowed for this credential or project. Ask a project admin, or choose one of GET /models.`,
    )
  }
  const { unpriced } = principal.project
  if (unpriced === 'meter_tokens_only') return
  const usual = needed[use] ?? []
  const names = also.length === 0 ? usual : [...usual, ...also]
  const isKnown = prices.override?.find(provider, model) ?? prices.book.find(provider, model)
  if (!isKnown) {
    if (unpriced === 'assume_max' && canAssume(prices, provider, names)) return
    const other = provider === 'openai' ? 'anthropic' : 'openai'
    const isTheirs = prices.override?.find(other, model) ?? prices.book.find(other, model)
    throw new Refusal(
      'model_not_priced',
      isTheirs
        ? `Model ${named(model)} is one of ${other}: call it at the paths below /${other}/v1.`
        : `Model ${named(model)} has no price here, so it is not served. Check its name; an admin can add a price, or have the highest price assumed.`,
    )
  }
  const missing = findUnpriced(prices, provider, model, names)
  if (missing === undefined || (unpriced === 'assume_max' && canAssume(prices, provider, [missing]))) return
  throw new Refusal(
    'model_not_priced',
    `Model ${named(model)} has no price for ${missing} here, so it is not served on this path. An admin can add one.`,
  )
}

function canAssume(prices: PriceBooksOfCall, provider: string, names: readonly QuantityName[]): boolean {
  const dearest = [prices.override, prices.book].map(book => book?.findDearest(provider)?.from)
  return names.every(name => dearest.some(from => from?.[name] !== undefined))
}
