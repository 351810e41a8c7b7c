import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { test } from 'node:test'
import type { AdmittedCall } from './call.ts'
import { Refusal } from './refusal.ts'
import { Relay, type RelayDeps } from './relay.ts'
import type { UpstreamController } from './upstream/upstream-handler.ts'

const order = { refusal: new Refusal('credential_revoked', 'gone'), style: 'explicit' as const }

/** A call that its provider has, and that fails at one step of its end. */
function startFaulty(step: 'settle' | 'refuse') {
  const fault = new Error('a fault of ours')
  const seen: string[] = []
  const told = (name: string) => (): never | undefined => {
    seen.push(name)
    if (name === step) throw fault
    return undefined
  }
  const deps = {
    settle: told('settle'),
    refuse: told('refuse'),
    onFault: (error: unknown) => seen.push(`fault: ${error === fault}`),
    tokens: {},
  } as unknown as RelayDeps
  const response = Object.assign(new EventEmitter(), { destroy: () => seen.push('client') })
  const call = { endpoint: { free: true }, route: {} } as unknown as AdmittedCall
  const relay = new Relay(deps, call, response as unknown as ConstructorParameters<typeof Relay>[2])
  relay.onRequestStart({ abort: () => seen.push('provider') } as unknown as UpstreamController)
  return { relay, seen }
}

test('a cut that fails to settle or to answer stops the provider and the client all the same, and is told', () => {
  for (const [step, seen] of [
    ['settle', ['settle', 'fault: true', 'provider', 'client']],
    ['refuse', ['settle', 'provider', 'refuse', 'fault: true', 'provider', 'client']],
  ] as const) {
    const faulty = startFaulty(step)
    faulty.relay.cut(order)
    assert.deepEqual(faulty.seen, seen)
    assert.ok(faulty.relay.isSettled)
  }
})
