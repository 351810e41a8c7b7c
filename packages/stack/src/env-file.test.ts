import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import { writeEnvLines } from './env-file.ts'

test('a shell that sources the lines has every value unchanged', () => {
  const lines = writeEnvLines({
    url: 'http://127.0.0.1:8080',
    bootstrap: { accountId: 'a', adminEmail: 'e', projectId: 'p', teamId: 't', keyId: 'k', apiKey: 'ma-key' },
    admin: { email: "o'neil@example.com", password: '$(touch x) `y` "z" \\' },
  })
  const printed = execFileSync(
    '/bin/sh',
    [
      '-c',
      `${lines}\nprintf '%s\\n' "$SLUICE_ADMIN_EMAIL" "$SLUICE_ADMIN_PASSWORD" "$OPENAI_BASE_URL" "$MESHAGENT_API_KEY"`,
    ],
    { encoding: 'utf8' },
  )
  assert.deepEqual(printed.trimEnd().split('\n'), [
    "o'neil@example.com",
    '$(touch x) `y` "z" \\',
    'http://127.0.0.1:8080/openai/v1',
    'ma-key',
  ])
})
