import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pino } from 'pino'
import { ConfigError, ConfigReader, ownMachine, readServiceConfig } from './config-reader.ts'
import { createRestApp } from './rest-error-handler.ts'

async function addressSeen(trusted: readonly string[], remoteAddress: string, forwardedFor: string): Promise<string> {
  const app = createRestApp(pino({ level: 'silent' }), trusted)
  app.get('/ip', request => request.ip)
  const answer = await app.inject({ url: '/ip', remoteAddress, headers: { 'x-forwarded-for': forwardedFor } })
  await app.close()
  return answer.body
}

test('a client is where a trusted gateway says, and where its connection comes from if nobody trusted says so', async () => {
  const containers = ['172.16.0.0/12']
  assert.equal(await addressSeen(containers, '172.18.0.5', '203.0.113.9'), '203.0.113.9')
  assert.equal(await addressSeen(containers, '::ffff:172.18.0.5', '203.0.113.9'), '203.0.113.9')
  assert.equal(await addressSeen(containers, '172.18.0.5', '198.51.100.1, 203.0.113.9'), '203.0.113.9', 'made up')
  assert.equal(await addressSeen(containers, '203.0.113.7', '203.0.113.9'), '203.0.113.7')
  assert.equal(await addressSeen(containers, '127.0.0.1', '203.0.113.9'), '127.0.0.1')
  assert.equal(await addressSeen(ownMachine, '172.18.0.5', '203.0.113.9'), '172.18.0.5')
  assert.equal(await addressSeen(ownMachine, '127.0.0.1', '203.0.113.9'), '203.0.113.9')
})

test('a service believes its own machine, or those that its variable names, and a range that is none is a problem', () => {
  const trusted = (text?: string) => {
    const reader = new ConfigReader({ BUDGET_TRUSTED_PROXIES: text })
    const { trustedProxies } = readServiceConfig(reader, 'BUDGET', 8082)
    reader.check()
    return trustedProxies
  }
  assert.deepEqual(trusted(), ['127.0.0.0/8', '::1'])
  assert.deepEqual(trusted('172.16.0.0/12, fc00::/7'), ['172.16.0.0/12', 'fc00::/7'])
  assert.throws(() => trusted('gateway'), ConfigError)
})
