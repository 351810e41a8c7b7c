import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ProviderAwayError } from './ask-provider.ts'

const away = (code: string) => new ProviderAwayError(Object.assign(new Error('x'), { code }), 'openai')

test('a request whose connection never came about has not arrived; any other may have', () => {
  for (const code of [
    'ECONNREFUSED',
    'ENOTFOUND',
    'UND_ERR_CONNECT_TIMEOUT',
    'CERT_HAS_EXPIRED',
    'SELF_SIGNED_CERT_IN_CHAIN',
  ])
    assert.equal(away(code).mayHaveArrived, false, code)
  for (const code of ['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET', 'UND_ERR_HEADERS_TIMEOUT', ''])
    assert.equal(away(code).mayHaveArrived, true, code)
})
