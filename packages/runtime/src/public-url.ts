import { isIP } from 'node:net'
import { isPublicAddress } from './public-address.ts'

/** What an address that a service of ours is to ask may be. */
export interface PublicUrlRules {
  /** Names it in errors. */
  field: string
  /** Where a credential belongs, in errors. */
  secretField: string
  /** The operator lets it be of this network, and unencrypted. */
  allowPrivate: boolean
  /** Default: false. */
  mayHaveQuery?: boolean
}

/** An address that is not to be asked. The message is for whoever gave it. */
export class PublicUrlError extends Error {
  override name = 'PublicUrlError'
  readonly problem: 'invalid' | 'private'
  constructor(problem: PublicUrlError['problem'], message: string) {
    super(message)
    this.problem = problem
  }
}

const localNames = /(^|\.)(localhost|localdomain|local|internal|intranet|lan|home|corp|home\.arpa)$/

/**
 * Reads an address that a service of ours is to ask. The URL parser reads every spelling of an IPv4 address (decimal, octal, hex,
 * short) into one; what it names is then checked here, and what a name resolves to is checked where it is connected to
 * (`postPublic`, `publicLookup`).
 * @throws PublicUrlError
 */
export function readPublicUrl(text: string, rules: PublicUrlRules): URL {
  const { field, secretField, allowPrivate } = rules
  const invalid = (message: string) => new PublicUrlError('invalid', message)
  if (!URL.canParse(text) || /[\s\\]/.test(text))
    throw invalid(`${field} is not a URL, such as https://api.example.com/v1.`)
  const url = new URL(text)
  if (url.protocol !== 'https:' && url.protocol !== 'http:')
    throw invalid(`${field} must begin with https:// or http://.`)
  if (url.username !== '' || url.password !== '')
    throw invalid(`${field} must hold no user name or password; send the credential as ${secretField}.`)
  if (rules.mayHaveQuery ? text.includes('#') : text.includes('?') || text.includes('#'))
    throw invalid(`${field} must hold ${rules.mayHaveQuery ? 'no fragment' : 'no query and no fragment'}.`)
  if (allowPrivate) return url
  if (isLocal(url.hostname))
    throw new PublicUrlError('private', `${field} points to a private or local address, which is not allowed.`)
  requireSafeWay(url, field, secretField)
  return url
}

/**
 * What a credential takes over the internet is encrypted, and goes where web servers are: of the ports below 1024 to 443 alone,
 * so that nobody has mail or directory servers spoken to.
 */
function requireSafeWay(url: URL, field: string, secretField: string): void {
  if (url.protocol !== 'https:')
    throw new PublicUrlError(
      'invalid',
      `${field} must begin with https://, since http:// would send ${secretField} for everybody to read.`,
    )
  if (url.port !== '' && Number(url.port) < 1024)
    throw new PublicUrlError('invalid', `${field} names port ${url.port}: use 443, or one from 1024 on.`)
}

/** Whether a host of a parsed URL is an address off the public internet, or a name that only a local resolver knows. */
function isLocal(hostname: string): boolean {
  const host = hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '')
  // Of IPv6 only 2000::/3 is given out; what lies outside may still be an IPv4 address in disguise.
  if (isIP(host) === 6 && !/^[23][0-9a-f]{3}:/.test(host)) return true
  if (isIP(host) !== 0) return !isPublicAddress(host)
  return !host.includes('.') || localNames.test(host)
}
