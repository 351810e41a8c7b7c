import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Refusal } from './refusal.ts'
import { readHeaders } from './request-headers.ts'

test('what is ours or of this hop never reaches the provider; everything else does, unknown headers too', () => {
  const { forwarded } = readHeaders([
    ...[
      'Authorization',
      'Bearer ma-x',
      'x-api-key',
      'ma-x',
      'Cookie',
      'a=b',
      'Host',
      'h',
      'Connection',
      'keep-alive, X-Hop',
      'X-Hop',
      '1',
    ],
    ...[
      'X-Forwarded-For',
      '1.2.3.4',
      'Forwarded',
      'for=x',
      'Meshagent-Project-Id',
      'p',
      'X-Meshagent-Annotation-Team',
      't',
      'Sluice-Tag-job',
      'j',
    ],
    ...[
      'Transfer-Encoding',
      'chunked',
      'Content-Length',
      '3',
      'Accept-Encoding',
      'gzip',
      'Proxy-Authorization',
      'x',
      'TE',
      'trailers',
      'OpenAI-Organization',
      'org',
    ],
    ...[
      'anthropic-beta',
      'future-2030',
      'anthropic-version',
      '2023-06-01',
      'Content-Type',
      'application/json',
      'X-Novel',
      'yes',
      'traceparent',
      '00-a',
    ],
  ])
  assert.deepEqual(forwarded, [
    'anthropic-beta',
    'future-2030',
    'anthropic-version',
    '2023-06-01',
    'Content-Type',
    'application/json',
    'X-Novel',
    'yes',
    'traceparent',
    '00-a',
  ])
})

test('a credential is taken from either header, Authorization first', () => {
  assert.equal(readHeaders(['authorization', 'Bearer abc']).credential, 'abc')
  assert.equal(readHeaders(['X-Api-Key', 'def']).credential, 'def')
  assert.equal(readHeaders(['x-api-key', 'def', 'Authorization', 'bearer abc']).credential, 'abc')
  assert.equal(readHeaders([]).credential, '')
})

test('the same credential sent twice is one; two different ones, or two hosts, are refused', () => {
  assert.equal(readHeaders(['authorization', 'Bearer a', 'Authorization', 'Bearer a']).credential, 'a')
  for (const raw of [
    ['authorization', 'Bearer a', 'Authorization', 'Bearer b'],
    ['x-api-key', 'a', 'X-API-Key', 'b'],
    ['host', 'a', 'Host', 'a'],
  ]) {
    assert.throws(
      () => readHeaders(raw),
      (error: unknown) => error instanceof Refusal && error.reason === 'invalid_request',
    )
  }
})

test('claims are read from client headers and bounded', () => {
  const { claimed } = readHeaders([
    ...['User-Agent', 'claude-cli/2.1.0 (external)', 'X-Claude-Code-Session-Id', 's1', 'x-claude-code-agent-id', 'a1'],
    ...['Sluice-Tag-Job', 'nightly', 'X-Meshagent-Annotation-Feature', 'chat', 'x-litellm-tags', 'red, blue'],
    ...Array.from({ length: 40 }, (_, i) => [`sluice-tag-n${i}`, 'v']).flat(),
  ])
  assert.equal(claimed.app, 'claude-code')
  assert.equal(claimed.session_id, 's1')
  assert.equal(claimed.agent_id, 'a1')
  assert.equal(claimed.tags?.job, 'nightly')
  assert.equal(claimed.tags?.feature, 'chat')
  assert.equal(claimed.tags?.red, '1')
  assert.equal(Object.keys(claimed.tags ?? {}).length, 16)
})
