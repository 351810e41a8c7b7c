import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto'

/** How much work a hash is, in scrypt's own terms. */
export interface PasswordCost {
  N: number
  r: number
  p: number
}

/** 32 MiB and about 0.1 s: OWASP's equivalent of N=2^17, p=1 in a quarter of the memory. */
export const passwordCost: PasswordCost = { N: 2 ** 15, r: 8, p: 3 }
const hashBytes = 32
const maxmem = 64 * 1024 * 1024

/** Hashes a password with scrypt: `scrypt$N$r$p$salt$hash`. */
export async function hashPassword(password: string, cost = passwordCost): Promise<string> {
  const salt = randomBytes(16)
  const hash = await derive(password, salt, cost)
  return ['scrypt', cost.N, cost.r, cost.p, salt.toString('base64url'), hash.toString('base64url')].join('$')
}

/**
 * Compares in constant time. Without a hash (unknown e-mail) the same work is done and the answer is no, so that neither
 * answer nor time says whether somebody exists.
 */
export async function verifyPassword(
  password: string,
  stored: string | null | undefined,
  cost = passwordCost,
): Promise<boolean> {
  const parsed = parseHash(stored)
  const hash = await derive(password, parsed?.salt ?? randomBytes(16), parsed?.cost ?? cost)
  return timingSafeEqual(hash, parsed?.hash ?? randomBytes(hashBytes)) && parsed !== undefined
}

function parseHash(stored: string | null | undefined) {
  const [name, N, r, p, salt, hash] = stored?.split('$') ?? []
  if (name !== 'scrypt' || !salt || !hash) return undefined
  const bytes = Buffer.from(hash, 'base64url')
  if (bytes.length !== hashBytes) return undefined
  return { cost: { N: Number(N), r: Number(r), p: Number(p) }, salt: Buffer.from(salt, 'base64url'), hash: bytes }
}

function derive(password: string, salt: Buffer, options: PasswordCost): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(password.normalize('NFKC'), salt, hashBytes, { ...options, maxmem }, (error, key) =>
      error ? reject(error) : resolve(key),
    )
  })
}

const samples = [
  'password',
  'changeme',
  'letmein',
  'sluice',
  'admin',
  'secret',
  'example',
  '12345678',
  'qwerty',
  'default',
]

/** Says why a password may not be an administrator's, or undefined. */
export function findPasswordProblem(password: string | undefined): string | undefined {
  if (!password) return 'is not set'
  if (password.length < 8) return 'is shorter than 8 characters'
  if (password.length > 256) return 'is longer than 256 characters'
  const plain = password.toLowerCase().replaceAll(/[^a-z0-9]/g, '')
  const rest = samples.reduce((text, sample) => text.replaceAll(sample, ''), plain).replaceAll(/[0-9]/g, '')
  if (plain !== '' && rest === '') return 'is a sample that everybody knows'
  return undefined
}
