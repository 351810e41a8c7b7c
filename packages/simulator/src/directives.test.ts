import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DirectiveError, readDirectives } from './directives.ts'

test('directives are read from a block anywhere in the text, quoted values too', () => {
  const found = readDirectives({}, 'Say [[sim output_tokens=3 text="two words \\u00e9" fault=crlf,unknown]] this')
  assert.equal(found.number('output_tokens'), 3)
  assert.equal(found.text('text'), 'two words é')
  assert.ok(found.has('crlf') && found.has('unknown') && !found.has('drop'))
})

test('a block wins over a header, and a later block over an earlier one', () => {
  const headers = { 'x-sim-delay-ms': '5', 'x-sim-burst': '2' }
  const found = readDirectives(headers, '[[sim delay_ms=7]] [[sim delay_ms=9]]')
  assert.equal(found.number('delay_ms'), 9)
  assert.equal(found.number('burst'), 2)
})

test('text without a whole block orders nothing', () => {
  for (const text of ['', 'sim output_tokens=3', '[[sim output_tokens=3', '[[simple x]]']) {
    assert.equal(readDirectives({}, text).number('output_tokens'), undefined)
  }
})

test('what is misspelt is refused', () => {
  for (const block of ['output=3', 'output_tokens=many', 'output_tokens', 'fault=fire', 'delay_ms=-1', 'text="a']) {
    assert.throws(() => readDirectives({}, `[[sim ${block}]]`), DirectiveError, block)
  }
})
