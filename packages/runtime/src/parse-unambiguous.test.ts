import assert from 'node:assert/strict'
import { test } from 'node:test'
import { JsonScanError, parseUnambiguous } from './parse-unambiguous.ts'

test('what JSON.parse reads is read, where every name stands once in its object', () => {
  const texts = [
    '{"model":"a","audio":{"input":{"transcription":{"model":"b"}}},"tools":[{"model":"c"},{"model":"d"}]}',
    '{"a":"model\\":{\\"model","model":"\\\\","b":["model","model"]}',
    '[]',
    'null',
    '"model"',
    ' {"a" : {} , "b" : [1, -2.5e3, true] } ',
  ]
  for (const text of texts) assert.deepEqual(parseUnambiguous(text), JSON.parse(text), text)
})

test('a name that stands twice is refused at any depth and however it is written, as what is no JSON is', () => {
  const texts = [
    '{"model":"a","model":"b"}',
    '{"model":"a","x":{"model":"c"},"model":"b"}',
    '{"session":{"model":"a","mod\\u0065l":"b"}}',
    '{"audio":{"input":{"transcription":{"model":"a"},"transcription":{"model":"b"}}}}',
    '[{"x":[{"a":1,"a" : 1}]}]',
    '{"a":1',
    '',
  ]
  for (const text of texts) assert.throws(() => parseUnambiguous(text), JsonScanError, text)
})
