import type { Call } from './call.ts'
import { DirectiveError, type Directives, readDirectives } from './directives.ts'
import { asText } from './json.ts'
import type { SimPrice } from './prices.ts'
import { findModel } from './prices.ts'
import type { Prompt } from './prompt.ts'
import { errorOfStatus, ProviderError } from './provider-error.ts'

/** What is read of a request for a generation, whichever way it came. */
export type GeneratingCall = Pick<
  Call,
  'id' | 'dialect' | 'headers' | 'body' | 'record' | 'attempts' | 'containers' | 'credentialSha256'
>

/** The model a request names; throws the dialect's own error where there is none. */
export function readModel(
  call: GeneratingCall,
  kind: SimPrice['kind'],
): { name: string; model: string; price: SimPrice } {
  const name = asText(call.body.model)
  if (name === undefined) throw errorOfStatus(call.dialect, 400, 'The request names no model.')
  const found = findModel(name)
  if (call.record !== undefined) call.record.model = found?.model ?? name
  if (found === undefined || found.price.dialect !== call.dialect || found.price.kind !== kind) {
    throw call.dialect === 'openai'
      ? new ProviderError(404, 'invalid_request_error', `The simulator has no model "${name}" here.`, 'model_not_found')
      : new ProviderError(404, 'not_found_error', `model: ${name}`)
  }
  return { name, ...found }
}

/** The directives of a call; throws where they order a refusal or make no sense. */
export function readOrders(call: GeneratingCall, prompt: Pick<Prompt, 'userText'>): Directives {
  const directives = readDirectives(call.headers, prompt.userText)
  const status = directives.number('status')
  if (status === undefined) return directives
  if (status < 400 || status > 599) throw new DirectiveError('The simulator fails with a status from 400 to 599 only.')
  const times = directives.number('times')
  if (times !== undefined) {
    const id = directives.text('id') ?? prompt.userText
    const seen = call.attempts.get(id) ?? 0
    if (seen >= times) return directives
    call.attempts.set(id, seen + 1)
  }
  const retryAfter = directives.number('retry_after')
  const standard = errorOfStatus(call.dialect, status, 'The simulator was told to fail.')
  throw new ProviderError(
    status,
    directives.text('error_type') ?? standard.type,
    standard.message,
    directives.text('error_code') ?? standard.code,
    retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) },
  )
}
