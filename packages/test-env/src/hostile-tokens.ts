import { createHash, createHmac, generateKeyPairSync, sign as signWith } from 'node:crypto'
import { sized } from './test-size.ts'

/** A participant token that must not be accepted, and what is wrong with it. */
export interface HostileToken {
  what: string
  token: string
}

/** The key that good tokens are signed with. */
export interface TokenKey {
  keyId: string
  projectId: string
  /** The secret part of the key: its characters are the HMAC key. */
  secret: string
  /** `ma-…`, whole. */
  value: string
}

type Json = Record<string, unknown>

const goodHeader = { alg: 'HS256', typ: 'JWT' }

const encode = (value: unknown): string =>
  (Buffer.isBuffer(value) ? value : Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))).toString(
    'base64url',
  )

function sign(header: unknown, payload: unknown, key: string | Buffer, algorithm = 'sha256'): string {
  const input = `${encode(header)}.${encode(payload)}`
  return `${input}.${createHmac(algorithm, key).update(input).digest('base64url')}`
}

/** The claims of a token that is good. */
export function goodClaims({ keyId, projectId }: Pick<TokenKey, 'keyId' | 'projectId'>): Json {
  return {
    name: 'worker',
    grants: [
      { name: 'room', scope: 'lobby' },
      { name: 'api', scope: { llm: {} } },
    ],
    version: '0.39.9',
    kid: keyId,
    sub: projectId,
  }
}

/** A token that is good: whoever refuses it proves nothing by refusing the others. */
export function goodToken(key: TokenKey, claims: Json = {}): string {
  return sign(goodHeader, { ...goodClaims(key), ...claims }, key.secret)
}

/**
 * Attacks on participant tokens, as RFC 8725 (JSON Web Token Best Current Practices) and the advisories on JWT libraries name
 * them: forged and confused algorithms, keys that are no secret, headers that name keys, claims read in two ways, second
 * spellings, and bytes of a good token with a bit turned over.
 * @param theirs a key of another project, which the attacker holds
 */
export function hostileTokens(key: TokenKey, theirs: Omit<TokenKey, 'value'>): HostileToken[] {
  return [
    ...turnedBits(key),
    ...algorithms(key),
    ...headers(key),
    ...wrongKeys(key, theirs),
    ...claims(key, theirs),
    ...spellings(key),
  ]
}

/** One bit of each byte of a good token, or of some, in all three parts. */
function turnedBits(key: TokenKey): HostileToken[] {
  const parts = goodToken(key).split('.')
  return parts.flatMap((part, at) => {
    const bytes = Buffer.from(part, 'base64url')
    const chosen = [...bytes.keys()].filter(index => index % sized({ small: 7, full: 1 }) === 0)
    return chosen.map(index => {
      const turned = Buffer.from(bytes)
      turned.writeUInt8(turned.readUInt8(index) ^ (1 << (index % 8)), index)
      return {
        what: `part ${at}, byte ${index}, one bit turned`,
        token: parts.with(at, turned.toString('base64url')).join('.'),
      }
    })
  })
}

function algorithms(key: TokenKey): HostileToken[] {
  const payload = goodClaims(key)
  const names = [
    ...[
      'none',
      'None',
      'NONE',
      'nOnE',
      'none ',
      '',
      ' HS256',
      'HS256 ',
      'hs256',
      'Hs256',
      'HS256\u0000',
      'HS-256',
      'SHA256',
    ],
    ...[
      'HS1',
      'HS384',
      'HS512',
      'RS256',
      'RS384',
      'RS512',
      'PS256',
      'PS512',
      'ES256',
      'ES256K',
      'ES512',
      'EdDSA',
      'Ed25519',
    ],
    ...['dir', 'A128KW', 'A256GCMKW', 'RSA-OAEP', 'RSA1_5', 'PBES2-HS256+A128KW', 'ECDH-ES'],
    ...[null, 0, 256, true, [], ['HS256'], { alg: 'HS256' }],
  ]
  const unsigned = ['none', 'None', 'NONE', 'nOnE', 'HS256', '']
  return [
    ...names.map(alg => ({
      what: `algorithm ${JSON.stringify(alg)}, signed all the same`,
      token: sign({ alg, typ: 'JWT' }, payload, key.secret),
    })),
    ...unsigned.map(alg => ({
      what: `algorithm ${JSON.stringify(alg)}, not signed`,
      token: `${encode({ alg, typ: 'JWT' })}.${encode(payload)}.`,
    })),
    { what: 'no algorithm', token: sign({ typ: 'JWT' }, payload, key.secret) },
    { what: 'HS384, rightly', token: sign({ alg: 'HS384', typ: 'JWT' }, payload, key.secret, 'sha384') },
    { what: 'HS512, rightly', token: sign({ alg: 'HS512', typ: 'JWT' }, payload, key.secret, 'sha512') },
    { what: 'HS256 in name, SHA-512 in fact', token: sign(goodHeader, payload, key.secret, 'sha512') },
    { what: 'HS256 in name, SHA-1 in fact', token: sign(goodHeader, payload, key.secret, 'sha1') },
  ]
}

function headers(key: TokenKey): HostileToken[] {
  const payload = goodClaims(key)
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const jwk = publicKey.export({ format: 'jwk' })
  const more: readonly [string, unknown][] = [
    ['a key id', { kid: key.keyId }],
    ['a key id that is a path', { kid: '../../../../dev/null' }],
    ['a key id that is SQL', { kid: "x' union select 'secret' --" }],
    ['a key id with NUL', { kid: `${key.keyId}\u0000` }],
    ['a key id of 8 kB', { kid: 'k'.repeat(8_000) }],
    ['a key set elsewhere', { jku: 'http://127.0.0.1/keys.json' }],
    ['a certificate elsewhere', { x5u: 'http://169.254.169.254/' }],
    ['a certificate', { x5c: ['MIIB'] }],
    ['a certificate’s hash', { x5t: 'AAAA', 'x5t#S256': 'AAAA' }],
    ['a key of its own', { jwk }],
    ['a symmetric key of its own', { jwk: { kty: 'oct', k: encode(key.secret) } }],
    ['a critical extension', { crit: ['exp'], exp: 1 }],
    ['an unknown critical extension', { crit: ['x'] }],
    ['no critical extension, critically', { crit: [] }],
    ['an unencoded payload', { b64: false, crit: ['b64'] }],
    ['an unencoded payload, not critical', { b64: false }],
    ['compression', { zip: 'DEF' }],
    ['another content type', { cty: 'JWT' }],
    ['an encryption', { enc: 'A128GCM' }],
    ['a member nobody knows', { sluice: 1 }],
    ['a prototype', '{"alg":"HS256","typ":"JWT","__proto__":{"alg":"none"}}'],
    ['two algorithms, the good one last', '{"alg":"none","typ":"JWT","alg":"HS256"}'],
    ['two algorithms, the good one first', '{"alg":"HS256","typ":"JWT","alg":"none"}'],
    ['two algorithms, one escaped', '{"alg":"HS256","typ":"JWT","\\u0061lg":"none"}'],
    ['an array', [goodHeader]],
    ['null', 'null'],
    ['a text', '"HS256"'],
    ['a number', '1'],
    ['no JSON', '{"alg":"HS256","typ":"JWT"'],
    ['JSON and more', '{"alg":"HS256","typ":"JWT"}{}'],
    ['a byte order mark', '\ufeff{"alg":"HS256","typ":"JWT"}'],
    [
      'broken UTF-8',
      Buffer.concat([Buffer.from('{"alg":"HS256","typ":"JWT","x":"'), Buffer.from([0xc3, 0x28]), Buffer.from('"}')]),
    ],
  ]
  const types = ['JWE', 'jwt', 'at+jwt', 'application/jwt', 'JOSE+JSON', '', null, 1, ['JWT']]
  const input = `${encode({ alg: 'ES256', typ: 'JWT', jwk })}.${encode(payload)}`
  const own = signWith('sha256', Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' })
  return [
    ...more.map(([what, header]) => ({
      what: `header with ${what}`,
      token: sign(isPlainObject(header) ? { ...goodHeader, ...header } : header, payload, key.secret),
    })),
    ...types.map(typ => ({
      what: `type ${JSON.stringify(typ)}`,
      token: sign({ alg: 'HS256', typ }, payload, key.secret),
    })),
    { what: 'signed with a key that it brings', token: `${input}.${own.toString('base64url')}` },
  ]
}

/** A good token in all but what it is signed with. */
function wrongKeys(key: TokenKey, theirs: { secret: string }): HostileToken[] {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const keys: readonly [string, string | Buffer][] = [
    ['another project’s secret', theirs.secret],
    ['nothing', ''],
    ['one NUL', '\u0000'],
    ['32 zeros', Buffer.alloc(32)],
    ['the whole key', key.value],
    ['the key’s SHA-256 in hex', createHash('sha256').update(key.value).digest('hex')],
    ['the key’s SHA-256', createHash('sha256').update(key.value).digest()],
    ['the secret’s SHA-256', createHash('sha256').update(key.secret).digest()],
    ['the secret’s SHA-256 in hex', createHash('sha256').update(key.secret).digest('hex')],
    ['what the secret is in base64url', Buffer.from(key.secret, 'base64url')],
    ['the secret in base64url', encode(key.secret)],
    ['the secret and a line feed', `${key.secret}\n`],
    ['the secret behind a space', ` ${key.secret}`],
    ['the secret in capitals', `${key.secret.toUpperCase()}x`],
    ['the secret but its last letter', key.secret.slice(0, -1)],
    ['the secret twice', key.secret + key.secret],
    ['the key id', key.keyId],
    ['the project id', key.projectId],
    ['a usual word', 'secret'],
    ['a public key in PEM', publicKey.export({ format: 'pem', type: 'spki' })],
    ['a public key in DER', publicKey.export({ format: 'der', type: 'spki' })],
    ['a public key as JWK', JSON.stringify(publicKey.export({ format: 'jwk' }))],
  ]
  return keys.map(([what, wrong]) => ({
    what: `signed with ${what}`,
    token: sign(goodHeader, goodClaims(key), wrong),
  }))
}

function claims(key: TokenKey, theirs: { keyId: string; projectId: string }): HostileToken[] {
  const good = goodClaims(key)
  const text = JSON.stringify(good)
  const room = { name: 'room', scope: 'lobby' }
  const api = { name: 'api', scope: { llm: {} } }
  const changed: readonly [string, Json][] = [
    ...[undefined, null, '', 0, true, [key.keyId], { id: key.keyId }, '*', '%', 'null', '__proto__', 'constructor'].map(
      (kid): [string, Json] => [`key id ${JSON.stringify(kid)}`, { kid }],
    ),
    ['a key id that nobody has', { kid: '00000000-0000-4000-8000-000000000000' }],
    ['another project’s key id', { kid: theirs.keyId }],
    ['another project and its key id', { kid: theirs.keyId, sub: theirs.projectId }],
    ['the key id without dashes', { kid: key.keyId.replaceAll('-', '') }],
    ['a key id of 3 kB', { kid: 'k'.repeat(3_000) }],
    ['the key id in capitals', { kid: `${key.keyId.toUpperCase()}A` }],
    ['the key id and a space', { kid: `${key.keyId} ` }],
    ['a key id that is SQL', { kid: `${key.keyId}' or '1'='1` }],
    ['a key id of a path', { kid: `../keys/${key.keyId}` }],
    ['a key id with NUL', { kid: `${key.keyId}\u0000` }],
    ...[undefined, null, '', 0, [key.projectId], { id: key.projectId }, '*', 'default'].map((sub): [string, Json] => [
      `project ${JSON.stringify(sub)}`,
      { sub },
    ]),
    ['another project', { sub: theirs.projectId }],
    ['its project in capitals', { sub: `${key.projectId.toUpperCase()}A` }],
    ...['9999999999', null, true, [], [9_999_999_999], {}, 0, -1, 1, 1e-9, '1e20', 'never'].map(
      (exp): [string, Json] => [`end ${JSON.stringify(exp)}`, { exp }],
    ),
    ['an end long ago', { exp: 946_684_800 }],
    ['an end a second ago', { exp: Math.floor(Date.now() / 1000) - 1 }],
    ...[undefined, null, '', 0, [], {}, ['worker'], 'a\u0000b', 'a\nb', 'a\u007fb', 'n'.repeat(257)].map(
      (name): [string, Json] => [`name ${JSON.stringify(name)?.slice(0, 20)}`, { name }],
    ),
    ...[undefined, null, '', 'api', {}, 0, { api: {} }].map((grants): [string, Json] => [
      `grants ${JSON.stringify(grants)}`,
      { grants },
    ]),
    ...['mem_01', '', null, 0, true, [], ['mem_01'], {}, '*'].map((member): [string, Json] => [
      `member ${JSON.stringify(member)}, by a key that is not the server's`,
      { sluice_member: member },
    ]),
    ['two rooms', { grants: [room, { name: 'room', scope: 'other' }, api] }],
    ['the same room twice', { grants: [room, room, api] }],
    ['two API grants', { grants: [room, api, { name: 'api', scope: { llm: { models: ['openai/*'] } } }] }],
    ...[null, 0, '', [], {}, ['lobby'], 'r'.repeat(64), 'a\u0000'].map((scope): [string, Json] => [
      `room ${JSON.stringify(scope)?.slice(0, 20)}`,
      { grants: [{ name: 'room', scope }, api] },
    ]),
    ...['*', 0, true, {}, [0], [null], [['openai/*']], [{}]].map((models): [string, Json] => [
      `models ${JSON.stringify(models)}`,
      { grants: [room, { name: 'api', scope: { llm: { models } } }] },
    ]),
  ]
  const written: readonly [string, string | Buffer][] = [
    ['two projects, the good one last', `{"sub":"${theirs.projectId}",${text.slice(1)}`],
    ['two projects, the good one first', `${text.slice(0, -1)},"sub":"${theirs.projectId}"}`],
    ['two projects, one escaped', `${text.slice(0, -1)},"s\\u0075b":"${theirs.projectId}"}`],
    ['two keys', `{"kid":"${theirs.keyId}",${text.slice(1)}`],
    ['two names', `${text.slice(0, -1)},"name":"root"}`],
    ['two lists of grants', `${text.slice(0, -1)},"grants":[]}`],
    ['two members', `${text.slice(0, -1)},"sluice_member":"mem_01","sluice_member":"mem_02"}`],
    ['two ends', `${text.slice(0, -1)},"exp":9999999999,"exp":1}`],
    ['two LLM grants in one scope', text.replace('"llm":{}', '"llm":{},"llm":{"models":[]}')],
    ['two model lists', text.replace('"llm":{}', '"llm":{"models":[],"models":["openai/*"]}')],
    ['two scopes', text.replace('"scope":"lobby"', '"scope":"lobby","scope":"other"')],
    ['an endless end', `${text.slice(0, -1)},"exp":1e999}`],
    ['an end that is no number', `${text.slice(0, -1)},"exp":NaN}`],
    ['an end in hex', `${text.slice(0, -1)},"exp":0xffffffff}`],
    ['half a surrogate for a name', text.replace('"worker"', '"\\ud800"')],
    ['nothing', ''],
    ['null', 'null'],
    ['true', 'true'],
    ['a number', '42'],
    ['a text', JSON.stringify(text)],
    ['an array', `[${text}]`],
    ['less than an object', text.slice(0, -1)],
    ['an object and more', `${text}x`],
    ['two objects', text + text],
    ['a comment', `/**/${text}`],
    ['a trailing comma', `${text.slice(0, -1)},}`],
    ['a byte order mark', `\ufeff${text}`],
    ['UTF-16', Buffer.from(text, 'utf16le')],
    ['broken UTF-8', Buffer.concat([Buffer.from('{"x":"'), Buffer.from([0xff]), Buffer.from(`",${text.slice(1)}`)])],
    [
      'an overlong letter',
      Buffer.concat([Buffer.from('{"x":"'), Buffer.from([0xc1, 0x81]), Buffer.from(`",${text.slice(1)}`)]),
    ],
  ]
  return [
    ...changed.map(([what, change]) => ({
      what: `claims: ${what}`,
      token: sign(goodHeader, { ...good, ...change }, key.secret),
    })),
    ...written.map(([what, payload]) => ({ what: `payload: ${what}`, token: sign(goodHeader, payload, key.secret) })),
  ]
}

/** A good token, written otherwise: a second spelling is a second name in a cache, and another token in a log. */
function spellings(key: TokenKey): HostileToken[] {
  const good = goodToken(key)
  const [head = '', payload = '', signature = ''] = good.split('.')
  const standard = (part: string) => Buffer.from(part, 'base64url').toString('base64')
  const spelt: readonly [string, string][] = [
    ['a padded signature', `${good}=`],
    ['padded parts', [head, payload, signature].map(standard).join('.')],
    ['a padded payload', `${head}.${payload}==.${signature}`],
    ['the signature in hex', `${head}.${payload}.${Buffer.from(signature, 'base64url').toString('hex')}`],
    ['the signature cut', `${head}.${payload}.${signature.slice(0, -2)}`],
    ['the signature doubled', `${head}.${payload}.${signature}${signature}`],
    [
      'half the signature',
      `${head}.${payload}.${Buffer.from(signature, 'base64url').subarray(0, 16).toString('base64url')}`,
    ],
    ['no signature', `${head}.${payload}.`],
    ['no dot before no signature', `${head}.${payload}`],
    ['no payload', `${head}..${signature}`],
    ['no header', `.${payload}.${signature}`],
    ['dots alone', '..'],
    ['a fourth part', `${good}.x`],
    ['a fourth part of nothing', `${good}.`],
    ['five parts', `${head}..${payload}.${signature}.${signature}`],
    ['a nested token', sign({ ...goodHeader, cty: 'JWT' }, good, key.secret)],
    ['a token within an array', sign(goodHeader, `["${good}"]`, key.secret)],
    ['a flattened JWS', JSON.stringify({ protected: head, payload, signature })],
    ['a general JWS', JSON.stringify({ payload, signatures: [{ protected: head, signature }] })],
    ['percent signs', encodeURIComponent(good).replaceAll('.', '%2E')],
    ['a space', `${head}. ${payload}.${signature}`],
    ['a comma', good.replaceAll('.', ',')],
    ['a second token behind it', `${good},${good}`],
    ['a second scheme', `Bearer ${good}`],
    ['other letters', good.toUpperCase()],
    ['a payload above every limit', sign(goodHeader, { ...goodClaims(key), x: 'x'.repeat(20_000) }, key.secret)],
    ['a megabyte of header', `${encode({ ...goodHeader, x: 'x'.repeat(1 << 20) })}.${payload}.${signature}`],
  ]
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  // The bits of a last letter that belong to no byte: other values of them decode to the same.
  const respelled = [head, payload, signature].flatMap((part, at) => {
    const free = [0, 0, 4, 2][part.length % 4] ?? 0
    const last = alphabet.indexOf(part.slice(-1))
    return [...Array(2 ** free).keys()].slice(1).map(bits => ({
      what: `part ${at}, its last letter respelled by ${bits}`,
      token: [head, payload, signature].with(at, part.slice(0, -1) + alphabet.charAt(last ^ bits)).join('.'),
    }))
  })
  return [...spelt.map(([what, token]) => ({ what: `written with ${what}`, token })), ...respelled]
}

function isPlainObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !Buffer.isBuffer(value)
}
