import { isIP } from 'node:net'
import type { Dialect } from '@sluice/contracts'
import { errorOf, isPublicAddress } from '@sluice/runtime'
import { errors } from './errors.ts'

const localNames = /(^|\.)(localhost|localdomain|local|internal|intranet|lan|home|corp|home\.arpa)$/

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
  options: { allowPrivate: boolean },
): URL {
  const invalid = (message: string) => errorOf(errors.invalidBaseUrl, { message })
  if (!URL.canParse(text) || /[\s\\]/.test(text))
    throw invalid(`${field} is not a URL, such as https://api.example.com/v1.`)
  const url = new URL(text)
  if (url.protocol !== 'https:' && url.protocol !== 'http:')
    throw invalid(`${field} must begin with https:// or http://.`)
  if (url.username !== '' || url.password !== '')
    throw invalid(`${field} must hold no user name or password; send the credential as ${secretField}.`)
  if (text.includes('?') || text.includes('#')) throw invalid(`${field} must hold no query and no fragment.`)
  if (!options.allowPrivate && isLocal(url.hostname))
    throw errorOf(errors.privateBaseUrl, { message: errors.privateBaseUrl.message.replace('base_url', field) })
  if (!options.allowPrivate) requireSafeWay(url, field, secretField)
  return url
}

/**
 * What a credential takes over the internet is encrypted, and goes where web servers are: of the ports below 1024 to 443 alone,
 * so that nobody has mail or directory servers spoken to.
 */
function requireSafeWay(url: URL, field: string, secretField: string): void {
  const invalid = (message: string) => errorOf(errors.invalidBaseUrl, { message })
  if (url.protocol !== 'https:')
    throw invalid(`${field} must begin with https://, since http:// would send ${secretField} for everybody to read.`)
  if (url.port !== '' && Number(url.port) < 1024)
    throw invalid(`${field} names port ${url.port}: use 443, or one from 1024 on.`)
}

/** Whether a host of a parsed URL is an address off the public internet, or a name that only a local resolver knows. */
function isLocal(hostname: string): boolean {
  const host = hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '')
  // Of IPv6 only 2000::/3 is given out; what lies outside may still be an IPv4 address in disguise.
  if (isIP(host) === 6 && !/^[23][0-9a-f]{3}:/.test(host)) return true
  if (isIP(host) !== 0) return !isPublicAddress(host)
  return !host.includes('.') || localNames.test(host)
}
