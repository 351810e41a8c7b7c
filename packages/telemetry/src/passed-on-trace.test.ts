import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import test from 'node:test'
import { enterTrace, passTraceOn } from './passed-on-trace.ts'

const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'

/** What others are told by whoever serves a request with these headers, a moment later. */
async function toldBehind(headers: Record<string, string | string[]>): Promise<[string, string][]> {
  return AsyncLocalStorage.snapshot()(async () => {
    enterTrace(headers)
    await new Promise(resolve => setImmediate(resolve))
    const told: [string, string][] = []
    passTraceOn((name, value) => told.push([name, value]))
    return told
  })
}

for (const [name, headers, told] of [
  ['goes on as it came', { traceparent }, [['traceparent', traceparent]]],
  [
    'goes on with its state, put together from all of its lines',
    { traceparent, tracestate: ['a=1', 'b=2'] },
    [
      ['traceparent', traceparent],
      ['tracestate', 'a=1,b=2'],
    ],
  ],
  ['that is none goes nowhere', { traceparent: '00-0-0-01', tracestate: 'a=1' }, []],
  ['that is not named is not made', {}, []],
] as const)
  test(`a caller's trace ${name}`, async () => {
    assert.deepEqual(await toldBehind(headers as Record<string, string | string[]>), told)
  })

test('one request does not hear of the trace of another', async () => {
  const [one, other] = await Promise.all([toldBehind({ traceparent }), toldBehind({})])
  assert.deepEqual(one, [['traceparent', traceparent]])
  assert.deepEqual(other, [])
})
