import assert from 'node:assert/strict'
import { test } from 'node:test'
import { scanObject } from '../scan-json.ts'
import { findReferences, type SearchedBody } from './find-references.ts'

function find(body: string, names: SearchedBody['names'] = 'items-and-tools'): string[] {
  const bytes = Buffer.from(body)
  const { members } = scanObject(bytes, new Set(['input', 'tools', 'prompt', 'container']))
  const isNamed = members.has('prompt') || members.has('container')
  return findReferences({ body: bytes, names, isNamed, input: members.get('input'), tools: members.get('tools') }).map(
    ({ kind, id }) => (kind === 'file' ? id : `${kind} ${id}`),
  )
}

test('every place where a provider reads a file by its id is found', () => {
  for (const body of [
    { input: [{ role: 'user', content: [{ type: 'input_file', file_id: 'file-1' }] }] },
    { input: [{ type: 'function_call_output', output: [{ type: 'input_image', file_id: 'file-1' }] }] },
    { messages: [{ role: 'user', content: [{ type: 'file', file: { file_id: 'file-1' } }] }] },
    { messages: [{ content: [{ type: 'document', source: { type: 'file', file_id: 'file-1' } }] }] },
    { tools: [{ type: 'code_interpreter', container: { type: 'auto', file_ids: ['file-1'] } }] },
    { tools: [{ type: 'image_generation', input_image_mask: { file_id: 'file-1' } }] },
    { prompt: { variables: { metadata: { type: 'input_file', file_id: 'file-1' } } } },
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

test('an item is referred to where only its id says what it is', () => {
  const of = (item: object) => find(JSON.stringify({ input: [{ role: 'user', content: 'x' }, item] }))
  for (const item of [
    { type: 'item_reference', id: 'x' },
    { type: 'item_reference', id: 'x', role: 'user', content: 'x', encrypted_content: 'x' },
    { id: 'x', encrypted_content: 'x' },
    { id: 'x' },
    { id: 'x', type: null },
    { type: 'reasoning', id: 'x', summary: [] },
    { type: 'reasoning', id: 'x', summary: [], encrypted_content: null },
    { type: 'image_generation_call', id: 'x' },
    { type: 'of_tomorrow', id: 'x' },
    { type: 'item_reference', id: 'x', content: [{ input: [{ type: 'message' }] }] },
  ])
    assert.deepEqual(of(item), ['item x'], JSON.stringify(item))
  assert.deepEqual(find('{"input":[{"\\u0069d":"x"}]}'), ['item x'])
  for (const item of [
    { type: 'message', id: 'x', role: 'assistant', content: [] },
    { id: 'x', role: 'assistant', content: [] },
    { type: 'reasoning', id: 'x', summary: [], encrypted_content: 'e'.repeat(10_000) },
    { type: 'compaction_of_tomorrow', id: 'x', encrypted_content: 'x' },
    { type: 'image_generation_call', id: 'x', result: 'e'.repeat(10_000) },
    { type: 'function_call', id: 'x', call_id: 'c', name: 'f', arguments: '{}' },
    { type: 'function_call_output', id: 'x', call_id: 'c', output: 'o' },
  ])
    assert.deepEqual(of(item), [], JSON.stringify(item))
})

test('containers, vector stores, prompts, skills, spoken answers and voices are found where providers read them', () => {
  const responses = (body: object) => find(JSON.stringify(body))
  assert.deepEqual(responses({ tools: [{ type: 'code_interpreter', container: 'c' }] }), ['container c'])
  assert.deepEqual(responses({ tools: [{ type: 'code_interpreter', container: { type: 'auto' } }] }), [])
  const environment = { type: 'container_reference', container_id: 'c' }
  assert.deepEqual(responses({ tools: [{ type: 'shell', environment }] }), ['container c'])
  const call = { type: 'code_interpreter_call', id: 'ci', container_id: 'c', code: '1' }
  assert.deepEqual(responses({ input: [call] }), ['container c'])
  const search = { type: 'file_search', vector_store_ids: ['a', 'b'] }
  assert.deepEqual(responses({ tools: [search] }), ['vector_store a', 'vector_store b'])
  assert.deepEqual(responses({ prompt: { id: 'p', version: '2' } }), ['prompt p'])
  const skills = [
    { type: 'skill_reference', skill_id: 'skill_1' },
    { type: 'skill_reference', skill_id: 'openai-spreadsheets' },
  ]
  assert.deepEqual(responses({ tools: [{ type: 'shell', environment: { skills } }] }), ['skill skill_1'])
  const messages = (body: object) => find(JSON.stringify(body), 'nothing-more')
  assert.deepEqual(messages({ container: 'c', messages: [] }), ['container c'])
  assert.deepEqual(messages({ container: { id: 'c', skills: [{ type: 'anthropic', skill_id: 'pptx' }] } }), [
    'container c',
  ])
  const chat = { messages: [{ role: 'assistant', audio: { id: 'a' } }] }
  assert.deepEqual(find(JSON.stringify(chat), 'spoken-answers'), ['audio a'])
  const session = {
    type: 'session.update',
    session: { prompt: { id: 'p' }, audio: { output: { voice: { id: 'v' } } } },
  }
  assert.deepEqual(find(JSON.stringify(session), 'prompts-and-voices'), ['prompt p', 'voice v'])
})
