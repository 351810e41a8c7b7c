import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkBaseUrl } from './base-url.ts'

const refused = { allowPrivate: false }
const allowed = { allowPrivate: true }

const spellings = [
  'http://127.0.0.1',
  'http://127.1',
  'http://127.0.1',
  'http://2130706433',
  'http://0x7f000001',
  'http://0x7f.0.0.1',
  'http://0177.0.0.1',
  'http://017700000001',
  'http://127.0.0.1.',
  'http://0',
  'http://0.0.0.0',
  'http://10.0.0.1',
  'http://10.1',
  'http://172.16.0.1',
  'http://172.31.255.255',
  'http://192.168.1.1',
  'http://0xc0a80101',
  'http://100.64.0.1',
  'http://169.254.169.254',
  'http://2852039166',
  'http://0xa9fea9fe',
  'http://0251.0376.0251.0376',
  'http://169.254.43518',
  'http://198.18.0.1',
  'http://192.0.2.1',
  'http://203.0.113.7',
  'http://224.0.0.1',
  'http://240.0.0.1',
  'http://255.255.255.255',
  'http://①②⑦.⓪.⓪.①',
  'http://127。0。0。1',
  'http://[::]',
  'http://[::1]',
  'http://[0:0:0:0:0:0:0:1]',
  'http://[::ffff:127.0.0.1]',
  'http://[::ffff:7f00:1]',
  'http://[::ffff:a9fe:a9fe]',
  'http://[::ffff:10.0.0.1]',
  'http://[64:ff9b::7f00:1]',
  'http://[64:ff9b::169.254.169.254]',
  'http://[2002:7f00:1::]',
  'http://[2002:a9fe:a9fe::]',
  'http://[fc00::1]',
  'http://[fd00:ec2::254]',
  'http://[fe80::1]',
  'http://[ff02::1]',
  'http://[2001:db8::1]',
  'http://[::7f00:1]',
  'http://[::127.0.0.1]',
  'http://localhost',
  'http://LOCALHOST',
  'http://localhost.',
  'http://ｌocalhost',
  'http://api.localhost',
  'http://a.b.localhost',
  'http://printer.local',
  'http://metadata.google.internal',
  'http://metadata',
  'http://router.lan',
  'http://db.home.arpa',
  'http://intranet',
]

test('no spelling of a private or local address is taken, on any port or path', () => {
  for (const spelling of spellings)
    for (const url of [`${spelling}/v1`, `${spelling}:8080/v1`, spelling.replace('http:', 'https:')])
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
