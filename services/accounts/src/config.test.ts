import assert from 'node:assert/strict'
import test from 'node:test'
import { readConfig } from './config.ts'

test('private addresses are closed to providers, unless the operator opens them', () => {
  const allows = (value?: string) =>
    readConfig({
      ACCOUNTS_DATABASE_URL: 'postgres://accounts:a@127.0.0.1/sluice',
      NATS_URL: 'nats://127.0.0.1:4222',
      SLUICE_MASTER_KEY: Buffer.alloc(32, 1).toString('base64url'),
      ...(value !== undefined && { SLUICE_ALLOW_PRIVATE_UPSTREAMS: value }),
    }).config.allowPrivateUpstreams
  assert.deepEqual([allows(), allows('0'), allows('1')], [false, false, true])
})
