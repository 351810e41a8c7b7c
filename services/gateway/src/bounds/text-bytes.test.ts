import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { anyCharacter } from '../../test/any-character.ts'
import { countTextBytes, longestPair } from './text-bytes.ts'

const forms = ['NFC', 'NFKC'] as const
const longest = (text: string) =>
  Math.max(Buffer.byteLength(text), ...forms.map(form => Buffer.byteLength(text.normalize(form))))
const asEscapes = (text: string) =>
  JSON.stringify(text).replace(/[\u007f-\uffff]/g, sign => `\\u${sign.charCodeAt(0).toString(16).padStart(4, '0')}`)

test('plain text counts its bytes, and a sign that unfolds counts what it unfolds to', () => {
  assert.equal(countTextBytes(Buffer.from('"A sentence."')), 13)
  assert.equal(countTextBytes(Buffer.from('"C:\\\\users"')), 11)
  assert.equal(countTextBytes(Buffer.from('ﷺ'.repeat(100))), 3_300)
  assert.equal(countTextBytes(Buffer.from('"\\ufdfa"')), 35)
  assert.equal(countTextBytes(Buffer.from('山海')), 6)
})

test('no composed form of a text has more bytes than were counted, as it stands or in escapes', () => {
  const signs = fc.oneof(
    fc.string({ unit: anyCharacter }),
    fc.string({ unit: 'grapheme' }),
    fc
      .array(fc.constantFrom('ﷺ', 'ǖ', '\u0323', '\u0301', 'ᾂ', '각', '\u11a8', '½', '𝅘𝅥𝅮', 'Ａ'), { maxLength: 20 })
      .map(all => all.join('')),
  )
  fc.assert(
    fc.property(signs, text => {
      const most = longest(text.toWellFormed())
      assert.ok(countTextBytes(Buffer.from(text)) >= most)
      assert.ok(countTextBytes(Buffer.from(asEscapes(text))) >= most)
    }),
    { numRuns: 400 },
  )
})

test('bytes that are no UTF-8 count as what they are read as', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), bytes => {
      assert.ok(countTextBytes(Buffer.from(bytes)) >= longest(Buffer.from(bytes).toString('utf8')))
    }),
    { numRuns: 1_000, examples: [[Uint8Array.from([92, 194, 175, 0])]] },
  )
})

test('no sign of two units has a longer form than is assumed', () => {
  for (let sign = 0x10000; sign < 0x110000; sign++) {
    // Ideographs and what is in private use have no other form.
    if (sign === 0x20000) sign = 0x2f800
    if (sign === 0x2fa20) break
    const length = Buffer.byteLength(String.fromCodePoint(sign).normalize('NFKD'))
    assert.ok(length <= longestPair, sign.toString(16))
  }
})
