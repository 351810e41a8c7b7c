import type { Call } from '../call.ts'
import { errorOfStatus, ProviderError } from '../provider-error.ts'
import { findMediaModel, type MediaKind, type MediaPrice } from './media-prices.ts'

/** The model that a request for sound or images names; throws where there is none of this kind. */
export function readMediaModel(
  call: Call,
  name: string | undefined,
  kind: MediaKind,
): { readonly model: string; readonly price: MediaPrice } {
  if (name === undefined) throw errorOfStatus('openai', 400, 'The request names no model.')
  const found = findMediaModel(name)
  if (call.record !== undefined) call.record.model = found?.model ?? name
  if (found?.price.kind !== kind)
    throw new ProviderError(
      404,
      'invalid_request_error',
      `The simulator has no model "${name}" here.`,
      'model_not_found',
    )
  return found
}
