import { type Call, sendJson } from '../call.ts'
import { findMediaModel, MEDIA_PRICES } from '../media/media-prices.ts'
import { findModel, SIM_PRICES } from '../prices.ts'
import { ProviderError } from '../provider-error.ts'

const CREATED = 1_767_225_600

/** `GET /v1/models` */
export function listOpenAiModels(call: Call): void {
  const text = Object.entries(SIM_PRICES).filter(([, price]) => price.dialect === 'openai')
  const data = [...text.map(([id]) => id), ...Object.keys(MEDIA_PRICES)].map(toModel)
  sendJson(call, 200, { object: 'list', data })
}

/** `GET /v1/models/{id}` */
export function getOpenAiModel(call: Call): void {
  const id = decodeURIComponent(call.path.slice('/v1/models/'.length))
  if (findModel(id)?.price.dialect !== 'openai' && findMediaModel(id) === undefined) {
    throw new ProviderError(404, 'invalid_request_error', `The simulator has no model "${id}".`, 'model_not_found')
  }
  sendJson(call, 200, toModel(id))
}

function toModel(id: string): object {
  return { id, object: 'model', created: CREATED, owned_by: 'simulator' }
}
