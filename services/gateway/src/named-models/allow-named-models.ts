import type { Dialect } from '@sluice/contracts'
import { allowModel, isAllowed, type PriceBooksOfCall } from '../allow-model.ts'
import type { Principal } from '../authenticate.ts'
import { Refusal } from '../refusal.ts'
import type { ReplyShapeName } from '../reply-reader.ts'
import { anyModel, type NamedModel } from './named-model-reader.ts'

/**
 * Lets the models pass that a request names beside its own: each must be allowed and have a price, as that one must.
 * @param shape of the request's reply
 * @throws Refusal 403 `model_not_allowed`, 400 `model_not_priced`
 */
export function allowNamedModels(
  principal: Principal,
  provider: Dialect,
  named: readonly NamedModel[],
  prices: PriceBooksOfCall,
  shape: ReplyShapeName,
): void {
  for (const { model, member } of named) {
    if (model === anyModel) allowAnyModel(principal, provider, member)
    else allowModel(principal, provider, model, prices, provider === 'openai' ? 'tool' : shape, member)
  }
}

/** The provider is to choose: only who may use all of its models can have that. */
function allowAnyModel(principal: Principal, provider: Dialect, member: string): void {
  if (isAllowed(principal, provider, anyModel)) return
  throw new Refusal(
    'model_not_allowed',
    `"${member}" leaves the model to ${provider}, and not all of its models are allowed for this credential or project. Name the models, or leave "${member}" out.`,
  )
}
