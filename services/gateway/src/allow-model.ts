import type { CompiledPriceBook } from '@sluice/pricing'
import type { Principal } from './authenticate.ts'
import { Refusal } from './refusal.ts'

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

/**
 * Lets a model pass: every list must allow it, and it must have a price, so that nothing is ever free in silence.
 * @throws Refusal 403 `model_not_allowed`, 400 `model_not_priced`
 */
export function allowModel(principal: Principal, provider: string, model: string, prices: PriceBooksOfCall): void {
  if (!isAllowed(principal, provider, model)) {
    throw new Refusal(
      'model_not_allowed',
      `Model "${provider}/${model}" is not allowed for this credential or project. Ask a project admin, or choose one of GET /models.`,
    )
  }
  if (principal.project.unpriced === 'meter_tokens_only') return
  if (!prices.override?.find(provider, model) && !prices.book.find(provider, model)) {
    throw new Refusal(
      'model_not_priced',
      `Model "${model}" has no price here, so it is not served. Check its name; an admin can add a price or allow unpriced models.`,
    )
  }
}
