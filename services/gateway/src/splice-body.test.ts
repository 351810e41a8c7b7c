import assert from 'node:assert/strict'
import { test } from 'node:test'
import { scanObject } from './scan-json.ts'
import { applySplices, requestUsageChunk } from './splice-body.ts'

function withUsage(text: string): string {
  const body = Buffer.from(text)
  const splice = requestUsageChunk(body, scanObject(body, new Set(['stream_options'])))
  return applySplices(body, splice ? [splice] : []).toString()
}

test('usage is asked for, and no other byte changes', () => {
  const cases: [string, string][] = [
    ['{"model": "m" , "stream":true }', '{"model": "m" , "stream":true ,"stream_options":{"include_usage":true}}'],
    ['{}', '{"stream_options":{"include_usage":true}}'],
    ['{"stream_options":{},"x":1}', '{"stream_options":{"include_usage":true},"x":1}'],
    [
      '{"stream_options":{"include_obfuscation":false}}',
      '{"stream_options":{"include_obfuscation":false,"include_usage":true}}',
    ],
    ['{"stream_options":{"include_usage":false,"a":[1]}}', '{"stream_options":{"include_usage":true,"a":[1]}}'],
    ['{"stream_options":null}', '{"stream_options":{"include_usage":true}}'],
    ['{"stream_options":{ "include_usage" : true }}', '{"stream_options":{ "include_usage" : true }}'],
  ]
  for (const [before, after] of cases) assert.equal(withUsage(before), after)
})

test('a body that needs nothing is forwarded as the very same buffer', () => {
  const body = Buffer.from('{}')
  assert.equal(applySplices(body, []), body)
})
