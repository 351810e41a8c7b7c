import assert from 'node:assert/strict'
import { test } from 'node:test'
import { privateHosts } from '@sluice/test-env'
import { checkBaseUrl } from './base-url.ts'

const refused = { allowPrivate: false }
const allowed = { allowPrivate: true }

test('no spelling of a private or local address is taken, on any port or path', () => {
  assert.ok(new Set(privateHosts).size >= 150)
  for (const host of privateHosts)
    for (const url of [`http://${host}/v1`, `http://${host}:8080/v1`, `https://${host}`])
      assert.throws(() => checkBaseUrl(url, 'openai', refused), { code: 'private_base_url', statusCode: 400 }, url)
})

test('the operator can allow them', () => {
  assert.equal(checkBaseUrl('http://127.0.0.1:4010/v1', 'openai', allowed), 'http://127.0.0.1:4010/v1')
  assert.equal(checkBaseUrl('http://localhost:4010', 'anthropic', allowed), 'http://localhost:4010')
})

test('addresses are normalised as the SDK of the dialect expects them', () => {
  const table = [
    ['openai', 'https://api.example.com', 'https://api.example.com/v1'],
    ['openai', 'https://api.example.com/', 'https://api.example.com/v1'],
    ['openai', 'https://API.example.com:443/openai/v1//', 'https://api.example.com/openai/v1'],
    ['openai', 'https://1.1.1.1/v1', 'https://1.1.1.1/v1'],
    ['openai', 'https://[2606:4700::1111]/v1', 'https://[2606:4700::1111]/v1'],
    ['anthropic', 'https://api.example.com/', 'https://api.example.com'],
    ['anthropic', 'https://api.example.com/anthropic/v1/', 'https://api.example.com/anthropic'],
  ] as const
  for (const [dialect, given, normalised] of table) assert.equal(checkBaseUrl(given, dialect, refused), normalised)
})

test('what a credential is sent to is encrypted and a port of web servers, unless the operator allows private addresses', () => {
  for (const url of ['http://api.example.com/v1', 'http://1.1.1.1:8080/v1', 'https://api.example.com:25/v1'])
    assert.throws(() => checkBaseUrl(url, 'openai', refused), { code: 'invalid_base_url', statusCode: 400 }, url)
  assert.equal(checkBaseUrl('https://api.example.com:8443', 'openai', refused), 'https://api.example.com:8443/v1')
  assert.equal(checkBaseUrl('http://proxy.example.com', 'openai', allowed), 'http://proxy.example.com/v1')
})

test('what is not a plain http address is refused, whoever allows private ones', () => {
  for (const url of [
    'api.example.com/v1',
    'file:///etc/passwd',
    'ftp://api.example.com/v1',
    'gopher://api.example.com/v1',
    'https://user@api.example.com/v1',
    'https://user:secret@api.example.com/v1',
    'https://api.example.com@127.0.0.1/v1',
    'https://api.example.com/v1?key=a',
    'https://api.example.com/v1#a',
    'https://api.example.com/v1?',
    'https://api.example.com/openai',
    'https://api.example.com\\@127.0.0.1/v1',
    'https://api.example.com/ v1',
    'javascript:alert(1)',
  ])
    assert.throws(() => checkBaseUrl(url, 'openai', allowed), { code: 'invalid_base_url', statusCode: 400 }, url)
})
