import { networkOf } from '@sluice/runtime'

/** Counts attempts to sign in. */
export interface SignInThrottle {
  /** Notes an attempt before it is tried; false where there were too many. `device`: a browser that e-mail is known in. */
  allow: (email: string, ip: string, device?: string) => boolean
  /** After an attempt that succeeded: it counts for nothing, and the failures before it for that e-mail from there neither. */
  forget: (email: string, ip: string, device?: string) => void
}

export interface SignInThrottleOptions {
  now: () => number
  /** For one e-mail from one address. */
  maxAttempts?: number
  /** From one address, for whichever e-mails: each attempt costs a tenth of a second of CPU. */
  maxPerAddress?: number
  /** For one e-mail from whichever addresses: beyond any person's mistakes, so that a stranger does not lock them out soon. */
  maxPerEmail?: number
  windowMs?: number
  maxEntries?: number
}

/**
 * In fifteen minutes ten attempts for an e-mail from an address, a hundred from one address, two hundred for one e-mail. An
 * IPv6 address counts as its /64 network. Attempts are counted before they are tried, so that a hundred at once are not all
 * tried; one that succeeds is given back, so that a company behind one address comes in, up to a hundred times for an e-mail
 * from an address.
 *
 * Strangers lock nobody out for long: a browser that an e-mail has signed in from before has ten attempts of its own, whatever
 * others do, and so has the address of its last success, where that address has any left. All browsers of an e-mail have two
 * hundred together, and are strangers beyond them: each sign-in may make another, and a password that somebody knew once would
 * buy as many guesses at the next. In memory, bounded, the oldest forgotten first: an instance has counts of its own.
 */
export function createSignInThrottle(options: SignInThrottleOptions): SignInThrottle {
  const { now, maxAttempts = 10, maxPerAddress = 100, maxPerEmail = 200 } = options
  const { windowMs = 15 * 60_000, maxEntries = 50_000 } = options
  const attempts = new Map<string, { count: number; endsAtMs: number }>()
  const emailOf = (email: string) => `email ${email.trim().toLowerCase()}`
  const pairOf = (email: string, ip: string) => `${networkOf(ip)} ${emailOf(email)}`
  const deviceOf = (email: string, device: string) => `device ${device} ${emailOf(email)}`
  const devicesOf = (email: string) => `devices ${emailOf(email)}`
  /** Networks of last successes, by e-mail; the oldest is forgotten first. */
  const lastNetworks = new Map<string, string>()

  function count(key: string): number {
    const known = attempts.get(key)
    const entry = known && known.endsAtMs > now() ? known : { count: 0, endsAtMs: now() + windowMs }
    entry.count += 1
    attempts.delete(key)
    attempts.set(key, entry)
    const oldest = attempts.size > maxEntries ? attempts.keys().next().value : undefined
    if (oldest !== undefined) attempts.delete(oldest)
    return entry.count
  }

  function isUsedUp(key: string, most: number): boolean {
    const entry = attempts.get(key)
    return entry !== undefined && entry.endsAtMs > now() && entry.count >= most
  }

  function giveBack(key: string): void {
    const entry = attempts.get(key)
    if (entry && entry.count > 0) entry.count -= 1
  }

  return {
    allow(email, ip, device) {
      if (device !== undefined) {
        if (count(deviceOf(email, device)) > maxAttempts) return false
        if (count(devicesOf(email)) <= maxPerEmail) return true
      }
      const ofAddress = `address ${networkOf(ip)}`
      // Not counted for the pair either: else one address fills the memory with e-mails, and every other count is forgotten.
      if (isUsedUp(ofAddress, maxPerAddress)) return false
      const ofPair = count(pairOf(email, ip))
      // Who is over their own limit does not use up anybody else's.
      if (ofPair > maxAttempts) return false
      if (count(ofAddress) > maxPerAddress) return false
      return count(emailOf(email)) <= maxPerEmail || lastNetworks.get(emailOf(email)) === networkOf(ip)
    },
    forget(email, ip, device) {
      const last = emailOf(email)
      lastNetworks.delete(last)
      lastNetworks.set(last, networkOf(ip))
      const oldest = lastNetworks.size > maxEntries ? lastNetworks.keys().next().value : undefined
      if (oldest !== undefined) lastNetworks.delete(oldest)
      if (device !== undefined) {
        // Who signs in without end costs as much as who fails.
        if (count(`success ${deviceOf(email, device)}`) > maxPerAddress) return
        attempts.delete(deviceOf(email, device))
        giveBack(devicesOf(email))
        return
      }
      attempts.delete(pairOf(email, ip))
      // Who signs in without end costs as much as who fails.
      if (count(`success ${pairOf(email, ip)}`) > maxPerAddress) return
      giveBack(`address ${networkOf(ip)}`)
      giveBack(emailOf(email))
    },
  }
}
