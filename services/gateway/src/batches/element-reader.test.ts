import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sized } from '@sluice/test-env/test-size'
import fc from 'fast-check'
import { anyCharacter } from '../../test/any-character.ts'
import { ElementReader } from './element-reader.ts'

function elementsOf(text: Buffer, cut: number, maxBytes = 1_000_000): (string | undefined)[] {
  const found: (string | undefined)[] = []
  const reader = new ElementReader('requests', maxBytes, element => found.push(element?.toString()))
  for (let at = 0; at < text.length; at += cut) reader.write(text.subarray(at, at + cut))
  return found
}

test('the elements of the wanted array are cut out whole, wherever the text is cut', () => {
  fc.assert(
    fc.property(
      fc.array(fc.dictionary(fc.string({ unit: anyCharacter }), fc.jsonValue()), { maxLength: 5 }),
      fc.jsonValue(),
      fc.integer({ min: 1, max: 40 }),
      (requests, other, cut) => {
        const text = JSON.stringify({ other, requests, more: [{ other }], nested: { requests: [{ a: 1 }] } })
        assert.deepEqual(
          elementsOf(Buffer.from(text), cut),
          requests.map(each => JSON.stringify(each)),
        )
      },
    ),
    { numRuns: sized({ small: 60, full: 300 }) },
  )
})

test('the wanted member is found by its name, however that is written', () => {
  const escaped = [...'requests'].map(letter => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')
  for (const name of ['requests', 'requ\\u0065sts', escaped])
    for (const cut of [1, 7, 1_000])
      assert.deepEqual(elementsOf(Buffer.from(`{"a":"requests","${name}":[{"b":1}],"request":[{}]}`), cut), ['{"b":1}'])
  assert.deepEqual(elementsOf(Buffer.from(`{"${escaped}s":[{"b":1}],"requ\\u0065st":[{}]}`), 5), [])
})

test('an element that is too long is told, and not kept', () => {
  const text = JSON.stringify({ requests: [{ a: 'x'.repeat(100) }, { b: 1 }] })
  assert.deepEqual(elementsOf(Buffer.from(text), 7, 50), [undefined, '{"b":1}'])
})
