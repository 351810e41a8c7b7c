import { createHash, createHmac } from 'node:crypto'
import { parseApiKey } from '@sluice/runtime'

type Claims = Record<string, unknown>

/** A participant token of a key as it is meant to be, for forging others from it. */
export function claimsOf(apiKey: string): Claims {
  const { keyId, projectId } = partsOf(apiKey)
  return {
    name: 'x',
    grants: [{ name: 'api', scope: { llm: {} } }],
    version: '0.39.9',
    kid: keyId,
    sub: projectId,
  }
}

export function partsOf(apiKey: string) {
  const parts = parseApiKey(apiKey)
  if (!parts) throw new Error('not a key')
  return parts
}

/** Signs what is given, text as it is. */
export function sign(
  payload: unknown,
  secret: string | Uint8Array,
  header: unknown = { alg: 'HS256', typ: 'JWT' },
  digest = 'sha256',
): string {
  const input = `${encode(header)}.${encode(payload)}`
  return `${input}.${createHmac(digest, secret).update(input).digest('base64url')}`
}

function encode(value: unknown): string {
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
}

/** Other things that are no credential, as they would stand in a header. */
export function forgedKeys(apiKey: string, other: string): [name: string, credential: string][] {
  const { secret } = partsOf(apiKey)
  const head = apiKey.slice(0, apiKey.length - secret.length)
  const theirs = partsOf(other)
  const theirHead = other.slice(0, other.length - theirs.secret.length)
  return [
    ['ids without a secret', head],
    ['ids with another secret', head + theirs.secret],
    ['another key’s ids with this secret', theirHead + secret],
    ['a prefix of a key', apiKey.slice(0, -1)],
    ['a key with more behind it', `${apiKey}x`],
    ['a key in capitals', apiKey.toUpperCase()],
    ['a key without its first letters', apiKey.slice(3)],
    ['only the secret', secret],
    ['the hash of a key', createHash('sha256').update(apiKey).digest('hex')],
    ['a key with a scheme inside', `Bearer ${apiKey}`],
    ['two keys', `${apiKey},${other}`],
    ['as basic authentication', `Basic ${Buffer.from(`x:${apiKey}`).toString('base64')}`],
    ['SQL', "ma-' or '1'='1"],
    ['a provider’s key', 'sk-proj-1234567890'],
    ['the simulator’s', 'simulator'],
    ['an object’s own member', '__proto__'],
    ['very long', `ma-${'a'.repeat(8_000)}`],
  ]
}
