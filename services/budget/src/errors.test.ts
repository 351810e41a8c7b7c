import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { errors } from './errors.ts'

/** Said by what all services share, or by the handlers of requests themselves. */
const shared = [
  'unauthorized 401',
  'ip_not_allowed 403',
  'csrf_refused 403',
  'not_found 404',
  'body_too_large 413',
  'unsupported_media_type 415',
  'store_unavailable 503',
  'tokens_unavailable 503',
]

test('the README says of each error what it means, with its status, and of no other', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
  const table = readme.slice(readme.indexOf('\n## Failure modes\n'))
  const told = [...table.matchAll(/^\| ([^|]+) \|/gm)].flatMap(([, cell = '']) =>
    [...cell.matchAll(/((?:`[a-z_]+`(?:, )?)+) (\d{3})\b/g)].flatMap(([, codes = '', status]) =>
      [...codes.matchAll(/[a-z_]+/g)].map(([code]) => `${code} ${status}`),
    ),
  )
  const said = Object.values(errors).map(({ code, statusCode }) => `${code} ${statusCode}`)
  assert.deepEqual(told.sort(), [...new Set([...said, ...shared])].sort())
})
