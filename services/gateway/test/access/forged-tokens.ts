import { createHash, createHmac, generateKeyPairSync } from 'node:crypto'
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

/** Tokens that must not pass, by what is wrong with them. @param other a key of another project, held by the attacker */
export function forgedTokens(apiKey: string, other: string): [name: string, token: string][] {
  const { secret, projectId } = partsOf(apiKey)
  const theirs = partsOf(other)
  const claims = claimsOf(apiKey)
  const good = sign(claims, secret)
  const [header = '', payload = '', signature = ''] = good.split('.')
  const list: [string, string][] = []
  const add = (name: string, token: string) => list.push([name, token])
  const claim = (name: string, changed: Claims) => add(`claims: ${name}`, sign({ ...claims, ...changed }, secret))
  const raw = (name: string, text: string) => add(`claims: ${name}`, sign(text, secret))
  const head = (name: string, changed: Claims, digest?: string) =>
    add(`header: ${name}`, sign(claims, secret, { alg: 'HS256', typ: 'JWT', ...changed }, digest))

  for (const alg of ['none', 'None', 'nOnE', 'NONE', '', 'hs256', 'HS256 ', 'RS256', 'ES256', 'PS256', 'EdDSA', 'dir'])
    add(`header: alg ${JSON.stringify(alg)}`, sign(claims, secret, { alg, typ: 'JWT' }))
  add('alg none without a signature', `${encode({ alg: 'none', typ: 'JWT' })}.${payload}.`)
  add('alg none, two parts', `${encode({ alg: 'none' })}.${payload}`)
  head('HS384, signed so', { alg: 'HS384' }, 'sha384')
  head('HS512, signed so', { alg: 'HS512' }, 'sha512')
  head('alg a list', { alg: ['HS256'] })
  head('alg a number', { alg: 256 })
  head('alg null', { alg: null })
  head('typ of an access token', { typ: 'at+jwt' })
  head('typ of a nested token', { cty: 'JWT' })
  head('kid', { kid: claims.kid })
  head('jku', { jku: 'http://127.0.0.1:1/jwks.json' })
  head('x5u', { x5u: 'http://127.0.0.1:1/cert.pem' })
  head('jwk', { jwk: { kty: 'oct', k: Buffer.from('attacker').toString('base64url') } })
  head('x5c', { x5c: ['AAAA'] })
  head('crit', { crit: ['exp'] })
  head('b64 false', { b64: false, crit: ['b64'] })
  head('zip', { zip: 'DEF' })
  add('header: no alg', sign(claims, secret, { typ: 'JWT' }))
  add('header: a list', sign(claims, secret, ['HS256']))
  add('header: a text', sign(claims, secret, '"HS256"'))
  add('header: null', sign(claims, secret, 'null'))
  add('header: no JSON', sign(claims, secret, '{alg:HS256}'))
  add('header: alg twice', sign(claims, secret, '{"alg":"none","alg":"HS256","typ":"JWT"}'))

  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 1024 })
  add('signed with a public key', sign(claims, publicKey.export({ type: 'spki', format: 'pem' })))
  add('signed with the whole key string', sign(claims, apiKey))
  add('signed with the decoded secret', sign(claims, Buffer.from(secret, 'base64url')))
  add('signed with the hash of the key', sign(claims, createHash('sha256').update(apiKey).digest('hex')))
  add('signed with the key id', sign(claims, String(claims.kid)))
  add('signed with nothing', sign(claims, ''))
  add('signed with another project’s secret', sign(claims, theirs.secret))
  add('no signature', `${header}.${payload}.`)
  add('two parts', `${header}.${payload}`)
  add('four parts', `${good}.${signature}`)
  add('five parts, as an encrypted token', `${good}.AAAA.AAAA`)
  add('half a signature', good.slice(0, -20))
  add(
    'a signature with one bit changed',
    `${header}.${payload}.${signature.startsWith('A') ? 'B' : 'A'}${signature.slice(1)}`,
  )
  add('a signature with padding', `${good}=`)
  add('a signature of another token', `${header}.${encode({ ...claims, name: 'root' })}.${signature}`)
  add('another spelling of the last character', good.slice(0, -1) + sibling(good.slice(-1)))
  add(
    'the alphabet of plain base64',
    sign({ ...claims, pad: '???>>>~~~' }, secret).replace(/[-_]/g, c => (c === '-' ? '+' : '/')),
  )
  add('a space inside', `${header}. ${payload}.${signature}`)
  add('a signature in hexadecimal', `${header}.${payload}.${Buffer.from(signature, 'base64url').toString('hex')}`)

  claim('no kid', { kid: undefined })
  claim('kid a number', { kid: 1 })
  claim('kid a list', { kid: [claims.kid] })
  claim('kid in capitals', { kid: String(claims.kid).toUpperCase() })
  claim('kid without dashes', { kid: String(claims.kid).replaceAll('-', '') })
  claim('kid a path', { kid: '../../etc/passwd' })
  claim('kid as SQL', { kid: "' or 1=1 --" })
  claim('kid with a zero byte', { kid: `${claims.kid}\u0000` })
  claim('kid huge', { kid: 'k'.repeat(3_000) })
  claim('kid of an object’s own member', { kid: '__proto__' })
  claim('kid of another project’s key', { kid: theirs.keyId })
  claim('sub of another project', { sub: theirs.projectId })
  claim('no sub', { sub: undefined })
  claim('sub a list', { sub: [projectId] })
  claim('sub in capitals', { sub: projectId.toUpperCase() })
  claim('no name', { name: undefined })
  claim('an empty name', { name: '' })
  claim('a name that is no text', { name: { toString: 'x' } })
  claim('an endless name', { name: 'n'.repeat(300) })
  claim('no grants', { grants: undefined })
  claim('grants an object', { grants: { api: { llm: {} } } })
  claim('grants a text', { grants: 'api' })
  claim('two api grants', {
    grants: [
      { name: 'api', scope: {} },
      { name: 'api', scope: { llm: {} } },
    ],
  })
  claim('two room grants', {
    grants: [...(claims.grants as unknown[]), { name: 'room', scope: 'a' }, { name: 'room', scope: 'b' }],
  })
  claim('a room that is no text', { grants: [...(claims.grants as unknown[]), { name: 'room', scope: { room: 'a' } }] })
  claim('models a text', { grants: [{ name: 'api', scope: { llm: { models: '*' } } }] })
  claim('models of numbers', { grants: [{ name: 'api', scope: { llm: { models: [1] } } }] })
  claim('expired', { exp: Math.floor(Date.now() / 1000) - 1 })
  claim('exp 0', { exp: 0 })
  claim('exp negative', { exp: -1 })
  claim('exp a text', { exp: '99999999999' })
  claim('exp null', { exp: null })
  claim('exp true', { exp: true })
  claim('exp a list', { exp: [99_999_999_999] })
  raw('exp beyond all numbers', JSON.stringify(claims).replace('{', '{"exp":1e999,'))
  raw('kid twice', JSON.stringify(claims).replace('{', `{"kid":"${theirs.keyId}",`))
  raw('sub twice', JSON.stringify(claims).replace('{', `{"sub":"${theirs.projectId}",`))
  raw('exp twice', JSON.stringify({ ...claims, exp: 99_999_999_999 }).replace('{', '{"exp":1,'))
  raw('a list', JSON.stringify([claims]))
  raw('no JSON', 'name=x')
  raw('null', 'null')
  raw('bytes behind the object', `${JSON.stringify(claims)}{}`)
  add('claims: not UTF-8', `${header}.${Buffer.from([0xff, 0xfe, 0x7b]).toString('base64url')}.${signature}`)
  return list
}

/** A character that decodes to the same bits where only the first four of its six count. */
function sibling(character: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  return alphabet[alphabet.indexOf(character) ^ 1] ?? 'A'
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
