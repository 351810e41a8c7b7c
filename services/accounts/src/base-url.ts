import type { Dialect } from '@sluice/contracts'
import { errorOf, PublicUrlError, readPublicUrl as readUrl } from '@sluice/runtime'
import { errors } from './errors.ts'

/**
 * Checks and normalises the address of a provider. The URL parser reads every spelling of an IPv4 address (decimal, octal,
 * hex, short) into one; what it names is then checked here, and what a name resolves to is checked where it is connected to.
 * @returns without a trailing slash; for `openai` it ends in `/v1`, for `anthropic` it does not
 * @throws AppError 400
 */
export function checkBaseUrl(text: string, dialect: Dialect, options: { allowPrivate: boolean }): string {
  const invalid = (message: string) => errorOf(errors.invalidBaseUrl, { message })
  const url = readPublicUrl(text, 'base_url', 'api_key', options)
  const path = url.pathname.replace(/\/+$/, '')
  if (dialect === 'anthropic') return url.origin + path.replace(/\/v1$/, '')
  if (path === '') return `${url.origin}/v1`
  if (!path.endsWith('/v1'))
    throw invalid('base_url of an OpenAI-compatible provider must end in /v1, as its SDK expects.')
  return url.origin + path
}

/**
 * Reads an address that a service of ours is to ask.
 * @param field names it in errors, `secretField` where a credential belongs @throws AppError 400
 */
export function readPublicUrl(
  text: string,
  field: string,
  secretField: string,
  { allowPrivate }: { allowPrivate: boolean },
): URL {
  try {
    return readUrl(text, { field, secretField, allowPrivate })
  } catch (error) {
    if (!(error instanceof PublicUrlError)) throw error
    if (error.problem === 'invalid') throw errorOf(errors.invalidBaseUrl, { message: error.message })
    throw errorOf(errors.privateBaseUrl, { message: errors.privateBaseUrl.message.replace('base_url', field) })
  }
}
