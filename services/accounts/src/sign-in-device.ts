import { randomUUID } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { type CookieScheme, createTokenBox, deviceCookie, deviceOf } from '@sluice/runtime'

/** Browsers in which somebody has signed in before, by a cookie that nobody else can make. */
export interface SignInDevices {
  /** The browser of a request, where this e-mail has signed in from it within a year. */
  find: (headers: IncomingHttpHeaders, email: string) => string | undefined
  /** `Set-Cookie` that says so of a browser, the one it was or a new one. */
  note: (scheme: CookieScheme, email: string, device: string | undefined) => string
}

const yearS = 365 * 24 * 60 * 60

/** The cookie is sealed under the master key: it names nobody to whoever reads it, and holds for one e-mail. */
export function createSignInDevices(masterKey: string, now: () => number): SignInDevices {
  const box = createTokenBox(masterKey, 'sign-in-device')
  const nameOf = (email: string) => email.trim().toLowerCase()
  return {
    find(headers, email) {
      const token = deviceOf(headers)
      const opened = token === undefined ? undefined : box.open(token)
      if (opened === undefined) return undefined
      const [device, whose, untilMs] = JSON.parse(opened) as [string, string, number]
      return whose === nameOf(email) && untilMs > now() ? device : undefined
    },
    note(scheme, email, device = randomUUID()) {
      const content = JSON.stringify([device, nameOf(email), now() + yearS * 1_000])
      return deviceCookie(scheme, box.seal(content), yearS)
    },
  }
}
