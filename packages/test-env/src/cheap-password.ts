import { randomBytes, scryptSync } from 'node:crypto'

/** So little that a test may sign in as often as it likes. */
export const cheapPasswordCost = { N: 1_024, r: 8, p: 1 }

/**
 * A password's hash as accounts keeps it, made with little work. The hash says how much that was, so that comparing with it
 * takes as little: a fifth of a second for each time that a test signs in is of no use to any.
 */
export function hashCheaply(password: string): string {
  const { N, r, p } = cheapPasswordCost
  const salt = randomBytes(16)
  const hash = scryptSync(password, salt, 32, { N, r, p })
  return ['scrypt', N, r, p, salt.toString('base64url'), hash.toString('base64url')].join('$')
}
