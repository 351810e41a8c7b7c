import { createHmac, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { parseCookie, stringifySetCookie } from 'cookie'
import { AppError } from './app-error.ts'

/** What of a management request proves who sends it. */
export interface CredentialSource {
  method: string
  headers: IncomingHttpHeaders
  /** The address it comes from. */
  ip?: string
}

/**
 * The two cookies a browser's session may stand in. Where the public origin is https its name begins with `__Host-`, which no
 * neighbour domain and no page on plain http can set (RFC 6265bis §4.1.3.2). Each takes tokens of its own beginning alone, so
 * that a cookie that somebody else has planted never counts, and no token of a cookie works as a bearer.
 */
const cookies = {
  https: { name: '__Host-sluice_session', prefix: 'sh_', device: '__Host-sluice_device' },
  http: { name: 'sluice_session', prefix: 'sc_', device: 'sluice_device' },
} as const

/** How a public origin's sessions are kept in browsers. */
export type CookieScheme = keyof typeof cookies

/** The scheme of a public URL. */
export function cookieSchemeOf(publicUrl: string): CookieScheme {
  return new URL(publicUrl).protocol === 'https:' ? 'https' : 'http'
}

/** What the token of a cookie's session begins with. */
export function cookieTokenPrefix(scheme: CookieScheme): string {
  return cookies[scheme].prefix
}

/** `Set-Cookie` that keeps a session; `maxAgeS` 0 ends it. Not for scripts, and not sent along from other sites' forms. */
export function sessionCookie(scheme: CookieScheme, token: string, maxAgeS: number): string {
  return cookieOf(scheme, cookies[scheme].name, token, maxAgeS)
}

/** `Set-Cookie` that keeps by which token a browser is known. It proves nobody. */
export function deviceCookie(scheme: CookieScheme, token: string, maxAgeS: number): string {
  return cookieOf(scheme, cookies[scheme].device, token, maxAgeS)
}

/** By which token a browser says it is known. */
export function deviceOf({ cookie }: IncomingHttpHeaders): string | undefined {
  if (cookie === undefined) return undefined
  const all = parseCookie(cookie)
  const token = all[cookies.https.device] ?? all[cookies.http.device]
  return token !== undefined && token.length <= 1_024 ? token : undefined
}

function cookieOf(scheme: CookieScheme, name: string, value: string, maxAgeS: number): string {
  return stringifySetCookie({
    name,
    value,
    maxAge: maxAgeS,
    path: '/',
    httpOnly: true,
    secure: scheme === 'https',
    sameSite: 'lax',
  })
}

/** What a page must send as `x-csrf-token` with each change it asks for by a session's cookie: it follows from the token. */
export function csrfTokenOf(token: string): string {
  return createHmac('sha256', token).update('sluice csrf').digest('base64url')
}

const bearer = /^Bearer ([\x21-\x7e]{8,512})$/i
const safeMethods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

/**
 * The credential of a management request: the bearer's, else the session of a cookie. A cookie is sent by the browser and not
 * by whoever made the page, so what changes something needs the session's CSRF token beside it, and no other site behind it.
 * @throws AppError 403 where a cookie comes without these
 */
export function credentialOf({ method, headers }: CredentialSource): string | undefined {
  if (headers.authorization !== undefined) {
    const credential = bearer.exec(headers.authorization)?.[1]
    return credential !== undefined && isOfCookie(credential) ? undefined : credential
  }
  const token = cookieSessionOf(headers)
  if (token !== undefined && !safeMethods.has(method)) requireOwnPage(headers, token)
  return token
}

/** The session token in a request's cookie, whatever it may do. */
export function cookieSessionOf({ cookie }: IncomingHttpHeaders): string | undefined {
  if (cookie === undefined) return undefined
  const all = parseCookie(cookie)
  return Object.values(cookies)
    .map(({ name, prefix }) => {
      const value = all[name]
      return value?.startsWith(prefix) && value.length <= 512 ? value : undefined
    })
    .find(value => value !== undefined)
}

/** Refuses what another site's page has asked for. A client that does not say so is none of a browser of these days. @throws AppError 403 */
export function requireSameOrigin(headers: IncomingHttpHeaders): void {
  const site = headers['sec-fetch-site']
  if (site !== undefined && site !== 'same-origin' && site !== 'none')
    throw new AppError('csrf_refused', 403, 'This request comes from a page of another site. Send it from the console.')
}

function requireOwnPage(headers: IncomingHttpHeaders, token: string): void {
  requireSameOrigin(headers)
  const given = Buffer.from(String(headers['x-csrf-token'] ?? ''))
  const expected = Buffer.from(csrfTokenOf(token))
  if (given.length !== expected.length || !timingSafeEqual(given, expected))
    throw new AppError(
      'csrf_refused',
      403,
      'A change by cookie needs the header x-csrf-token, as GET /accounts/session tells it. Programs send a bearer instead.',
    )
}

function isOfCookie(token: string): boolean {
  return Object.values(cookies).some(({ prefix }) => token.startsWith(prefix))
}
