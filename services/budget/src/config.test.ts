import assert from 'node:assert/strict'
import test from 'node:test'
import { readConfig } from './config.ts'

test('private addresses are closed to webhooks, unless the operator opens them', () => {
  const allows = (value?: string) =>
    readConfig({
      BUDGET_DATABASE_URL: 'postgres://budget:b@127.0.0.1/sluice',
      NATS_URL: 'nats://127.0.0.1:4222',
      ...(value !== undefined && { SLUICE_ALLOW_PRIVATE_UPSTREAMS: value }),
    }).allowPrivateUpstreams
  assert.deepEqual([allows(), allows('0'), allows('1')], [false, false, true])
})
