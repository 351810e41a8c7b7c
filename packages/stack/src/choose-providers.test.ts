import assert from 'node:assert/strict'
import { hostname, networkInterfaces } from 'node:os'
import { test } from 'node:test'
import { chooseProviders } from './choose-providers.ts'

test('without provider keys nothing real is configured', () => {
  assert.deepEqual(chooseProviders({}, 8080), { notes: [] })
})

test('a provider key makes its dialect real and leaves the other to the simulator', () => {
  assert.deepEqual(chooseProviders({ OPENAI_API_KEY: 'sk-real' }, 8080), { openai: { apiKey: 'sk-real' }, notes: [] })
  assert.deepEqual(chooseProviders({ ANTHROPIC_BASE_URL: 'http://10.0.0.5:9/' }, 8080), {
    anthropic: { baseUrl: 'http://10.0.0.5:9' },
    notes: [],
  })
})

test('a shell that has sourced our own env file does not make us call ourselves', () => {
  const own = {
    OPENAI_API_KEY: 'ma-key',
    OPENAI_BASE_URL: 'http://127.0.0.1:8080/openai/v1',
    ANTHROPIC_API_KEY: 'ma-key',
    ANTHROPIC_BASE_URL: 'http://127.0.0.1:8080/anthropic',
  }
  const choice = chooseProviders(own, 8080)
  assert.equal(choice.openai, undefined)
  assert.equal(choice.anthropic, undefined)
  assert.deepEqual(choice.notes, [
    "OPENAI_API_KEY is a Sluice key, so it is not used as a provider's, nor is OPENAI_BASE_URL.",
    "ANTHROPIC_API_KEY is a Sluice key, so it is not used as a provider's, nor is ANTHROPIC_BASE_URL.",
  ])
})

test('a base URL of our own origin is left out by whatever name it reaches us, and the key stays', () => {
  const ours = Object.values(networkInterfaces()).flatMap(each => each ?? [])
  const addresses = ours.flatMap(({ address, family }) => (family === 'IPv4' ? address : []))
  const loopback = ['localhost', '127.0.0.1', '127.1.2.3', '[::1]', '[::]', '0.0.0.0']
  const at = (host: string) => ({ OPENAI_API_KEY: 'sk-real', OPENAI_BASE_URL: `http://${host}:8080/openai/v1` })
  const reached = [
    ...loopback.map(host => [host, '127.0.0.1'] as const),
    ['sluice.intern', 'Sluice.intern'] as const,
    ...[hostname(), ...addresses].map(host => [host, '0.0.0.0'] as const),
  ]
  for (const [host, ownHost] of reached) {
    const choice = chooseProviders(at(host), 8080, ownHost)
    assert.deepEqual(choice.openai, { apiKey: 'sk-real' }, host)
    assert.equal(choice.notes.length, 1, host)
  }
  // Another server of this machine may listen there.
  assert.equal(chooseProviders(at('10.1.2.3'), 8080, '127.0.0.1').openai?.baseUrl, at('10.1.2.3').OPENAI_BASE_URL)
  for (const host of addresses.filter(address => !address.startsWith('127.')))
    assert.deepEqual(chooseProviders(at(host), 8080, '127.0.0.1').notes, [], host)
  const other = chooseProviders({ OPENAI_API_KEY: 'sk-real', OPENAI_BASE_URL: 'http://localhost:8081/v1' }, 8080)
  assert.deepEqual(other.openai, { apiKey: 'sk-real', baseUrl: 'http://localhost:8081/v1' })
})
