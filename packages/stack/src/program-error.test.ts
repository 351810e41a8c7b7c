import assert from 'node:assert/strict'
import { test } from 'node:test'
import { messageOf } from './program-error.ts'

test('of a program that failed its error is shown, not its stack', () => {
  const output = `file:///x/config.ts:99
    throw new ConfigError(...)
          ^

ConfigError: configuration:
  BUDGET_PORT is not set
    at file:///x/config.ts:99:13

Node.js v24.21.0
`
  assert.equal(messageOf(output), 'ConfigError: configuration:\n  BUDGET_PORT is not set')
  assert.equal(messageOf('one\ntwo\n'), 'one\ntwo')
})

test('of a service that only logs, its last warning is shown as a sentence', () => {
  const output = `{"level":"info","msg":"listening"}
{"level":"warn","err":{"message":"relation \\"x\\" does not exist","stack":"at y"},"msg":"consumer not started"}
{"level":"info","msg":"trying"}
`
  assert.equal(messageOf(output), 'consumer not started: relation "x" does not exist')
})
