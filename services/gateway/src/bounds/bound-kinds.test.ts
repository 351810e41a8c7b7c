import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { endpoints } from '../endpoints.ts'
import { boundKinds } from './bound-kinds.ts'

test('of every endpoint it is said how it is bounded, and of no other', () => {
  assert.deepEqual(Object.keys(boundKinds).sort(), [...new Set(endpoints.map(({ name }) => name))].sort())
})

test('what costs nothing is free, and what costs something is not', () => {
  // What a batch or a call over WebRTC comes to is settled apart from the request that begins it.
  const begun = new Set(['messages.batches.create', 'batches.create', 'realtime.calls'])
  for (const { name, free } of endpoints) assert.equal(boundKinds[name] === 'free', free && !begun.has(name), name)
})

test('the README says the same of every endpoint that costs something', () => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
  for (const [name, kind] of Object.entries(boundKinds))
    if (kind !== 'free')
      assert.match(readme, new RegExp(`^\\| \`${name.replaceAll('.', '\\.')}\` +\\| ${kind} +\\|`, 'm'))
})
