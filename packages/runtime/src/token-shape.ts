import type { IncomingHttpHeaders } from 'node:http'

/** Longer than any real participant token: grants are a few kilobytes. */
export const maxTokenLength = 16_384

/** Says whether a credential has the shape of a JWT at all. */
export function looksLikeJwt(credential: string): boolean {
  return credential.length <= maxTokenLength && credential.split('.').length === 3 && credential.startsWith('ey')
}

/** What a request's bearer is, where that looks like a participant token. */
export function tokenOf({ authorization }: IncomingHttpHeaders): string | undefined {
  const bearer = authorization === undefined ? undefined : /^Bearer ([\x21-\x7e]+)$/i.exec(authorization)?.[1]
  return bearer !== undefined && looksLikeJwt(bearer) ? bearer : undefined
}
