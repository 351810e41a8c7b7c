import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { test } from 'node:test'
import { isSignedWith, parseParticipantToken } from './participant-token.ts'

const secret = 'super-secret'
const claims = {
  name: 'worker',
  grants: [{ name: 'api', scope: { llm: {} } }],
  kid: '123e4567-e89b-12d3-a456-426614174000',
  sub: '0f1e2d3c-4b5a-6978-90ab-cdef12345678',
}
const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')

function sign(header: unknown, body: unknown, key = secret): string {
  const input = `${encode(header)}.${encode(body)}`
  return `${input}.${createHmac('sha256', key).update(input).digest('base64url')}`
}

const accepted = (token: string, nowMs = 1_000_000) => {
  const parsed = parseParticipantToken(token)
  return parsed !== undefined && isSignedWith(parsed, secret, nowMs)
}
const header = { alg: 'HS256', typ: 'JWT' }

test('a token signed with the characters of the secret is accepted, with extra claims kept', () => {
  const token = sign(header, { ...claims, custom: 1 })
  assert.ok(accepted(token))
  assert.equal(parseParticipantToken(token)?.claims.custom, 1)
})

test('an expiry is honoured where there is one', () => {
  assert.ok(accepted(sign(header, { ...claims, exp: 1001 }), 1_000_999))
  assert.ok(!accepted(sign(header, { ...claims, exp: 1001 }), 1_001_000))
})

test('nothing else is', () => {
  const good = sign(header, claims)
  const [head, body, tail] = good.split('.')
  const table: Record<string, string> = {
    'another key': sign(header, claims, 'other'),
    'no algorithm': sign({ alg: 'none', typ: 'JWT' }, claims),
    'no algorithm, no signature': `${encode({ alg: 'none' })}.${body}.`,
    'another algorithm': sign({ alg: 'HS512', typ: 'JWT' }, claims),
    'an algorithm in other letters': sign({ alg: 'hs256', typ: 'JWT' }, claims),
    'a critical extension': sign({ ...header, crit: ['exp'] }, claims),
    'another type': sign({ ...header, typ: 'JWE' }, claims),
    'a changed body': `${head}.${encode({ ...claims, name: 'root' })}.${tail}`,
    'a padded signature': `${good}=`,
    'a fourth part': `${good}.x`,
    'two parts': `${head}.${body}`,
    'an expiry that is no number': sign(header, { ...claims, exp: '9999999999' }),
    'no name': sign(header, { ...claims, name: '' }),
    'no grants': sign(header, { ...claims, grants: undefined }),
    'an array': sign(header, []),
    'no JSON': `${head}.${Buffer.from('{').toString('base64url')}.${tail}`,
  }
  for (const [name, token] of Object.entries(table)) assert.ok(!accepted(token), name)
})
