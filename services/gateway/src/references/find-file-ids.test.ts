import assert from 'node:assert/strict'
import { test } from 'node:test'
import { scanObject } from '../scan-json.ts'
import { findFileIds } from './find-file-ids.ts'

function find(body: string): string[] {
  const bytes = Buffer.from(body)
  scanObject(bytes, new Set())
  return findFileIds(bytes)
}

test('every place where a provider reads a file by its id is found', () => {
  for (const body of [
    { input: [{ role: 'user', content: [{ type: 'input_file', file_id: 'file-1' }] }] },
    { input: [{ type: 'function_call_output', output: [{ type: 'input_image', file_id: 'file-1' }] }] },
    { messages: [{ role: 'user', content: [{ type: 'file', file: { file_id: 'file-1' } }] }] },
    { messages: [{ content: [{ type: 'document', source: { type: 'file', file_id: 'file-1' } }] }] },
    { tools: [{ type: 'code_interpreter', container: { type: 'auto', file_ids: ['file-1'] } }] },
    { tools: [{ type: 'image_generation', input_image_mask: { file_id: 'file-1' } }] },
    { prompt: { id: 'pmpt_1', variables: { metadata: { type: 'input_file', file_id: 'file-1' } } } },
  ])
    assert.deepEqual(find(JSON.stringify(body)), ['file-1'], JSON.stringify(body))
})

test('escapes, spaces and a name that is there twice hide no id', () => {
  assert.deepEqual(find('{"input":[{"fil\\u0065_id" : "file-1"}]}'), ['file-1'])
  assert.deepEqual(find('{"input":[{"file\\u005Fid":"file-\\u0031"}]}'), ['file-1'])
  assert.deepEqual(find('{"input":[{"\\u0066\\u0069le\\u005f\\u0069\\u0064s":["a","b"]}]}'), ['a', 'b'])
  assert.deepEqual(find('{"input":[{"file_id":"a","file_id":"b"}]}'), ['a', 'b'])
})

test('what a client only tells of is no reference', () => {
  for (const body of [
    { metadata: { file_id: 'x' } },
    { tools: [{ parameters: { properties: { file_id: { type: 'string', default: 'x' } }, file_id: 'x' } }] },
    { tools: [{ name: 'read', input_schema: { required: ['file_id'], properties: { file_id: { type: 'string' } } } }] },
    { messages: [{ content: [{ type: 'tool_use', name: 'read', input: { file_id: 'x' } }] }] },
    { messages: [{ content: 'my "file_id": "x"' }] },
    { input: [{ content: [{ type: 'output_text', annotations: [{ type: 'file_citation', file_id: 'x' }] }] }] },
    {
      input: [
        { type: 'input_file', file_id: null },
        { type: 'input_text', text: 'file_id' },
      ],
    },
  ])
    assert.deepEqual(find(JSON.stringify(body)), [], JSON.stringify(body))
})
