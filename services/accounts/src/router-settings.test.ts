import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toAllowedModels, toRouterSettings } from './router-settings.ts'

const list = [
  { provider: 'openai', model: 'gpt-5*' },
  { provider: 'anthropic', model: 'claude-sonnet-4/beta' },
]
const patterns = ['openai/gpt-5*', 'anthropic/claude-sonnet-4/beta']

test('the document and the older bare list mean the same', () => {
  assert.deepEqual(toAllowedModels({ allowedModels: list }), patterns)
  assert.deepEqual(toAllowedModels([...list, ...list]), patterns)
  assert.deepEqual(toRouterSettings(patterns), { allowedModels: list })
})

test('null and absent allow all; an empty list allows none', () => {
  assert.equal(toAllowedModels({ allowedModels: null }), null)
  assert.equal(toAllowedModels({}), null)
  assert.deepEqual(toAllowedModels([]), [])
})
