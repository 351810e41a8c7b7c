import assert from 'node:assert/strict'
import test from 'node:test'
import { enterTrace } from '@sluice/telemetry/passed-on-trace'
import { cloudEventHeaders } from './publish.ts'

const event = { id: 'e1', source: '/accounts', type: 'key.revoked.v1', timeMs: 0 }

test('a message names the trace of whoever is being served', async () => {
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
  const headers = await new Promise<ReturnType<typeof cloudEventHeaders>>(resolve => {
    setImmediate(() => {
      enterTrace({ traceparent })
      setImmediate(() => resolve(cloudEventHeaders(event)))
    })
  })
  assert.equal(headers.get('traceparent'), traceparent)
  assert.equal(cloudEventHeaders(event).has('traceparent'), false)
})
