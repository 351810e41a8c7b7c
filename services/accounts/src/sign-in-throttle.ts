/** Counts attempts to sign in, per e-mail and address. */
export interface SignInThrottle {
  /** Notes an attempt before it is tried; false where there were too many. */
  allow: (email: string, ip: string) => boolean
  /** Forgets the attempts after one that succeeded. */
  forget: (email: string, ip: string) => void
}

export interface SignInThrottleOptions {
  now: () => number
  maxAttempts?: number
  windowMs?: number
  maxEntries?: number
}

/**
 * Ten attempts in fifteen minutes. Attempts are counted before they are tried, so that a hundred at once are not all
 * tried. In memory, bounded, the oldest forgotten first: an instance has counts of its own.
 */
export function createSignInThrottle(options: SignInThrottleOptions): SignInThrottle {
  const { now, maxAttempts = 10, windowMs = 15 * 60_000, maxEntries = 50_000 } = options
  const attempts = new Map<string, { count: number; endsAtMs: number }>()
  const keyOf = (email: string, ip: string) => `${email.trim().toLowerCase()}\n${ip}`
  return {
    allow(email, ip) {
      const key = keyOf(email, ip)
      const known = attempts.get(key)
      const entry = known && known.endsAtMs > now() ? known : { count: 0, endsAtMs: now() + windowMs }
      entry.count += 1
      attempts.delete(key)
      attempts.set(key, entry)
      const oldest = attempts.size > maxEntries ? attempts.keys().next().value : undefined
      if (oldest !== undefined) attempts.delete(oldest)
      return entry.count <= maxAttempts
    },
    forget: (email, ip) => void attempts.delete(keyOf(email, ip)),
  }
}
