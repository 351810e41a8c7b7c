import { type Call, sendJson } from '../call.ts'
import { findModel, SIM_PRICES } from '../prices.ts'
import { ProviderError } from '../provider-error.ts'

/** `GET /v1/models` with `anthropic-version` */
export function listAnthropicModels(call: Call): void {
  const data = Object.entries(SIM_PRICES)
    .filter(([, price]) => price.dialect === 'anthropic')
    .map(([id]) => toModel(id))
  sendJson(call, 200, { data, has_more: false, first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null })
}

/** `GET /v1/models/{id}` with `anthropic-version` */
export function getAnthropicModel(call: Call): void {
  const id = decodeURIComponent(call.path.slice('/v1/models/'.length))
  if (findModel(id)?.price.dialect !== 'anthropic') throw new ProviderError(404, 'not_found_error', `model: ${id}`)
  sendJson(call, 200, toModel(id))
}

function toModel(id: string) {
  return { type: 'model', id, display_name: `${id} (simulator)`, created_at: '2026-01-01T00:00:00Z' }
}
