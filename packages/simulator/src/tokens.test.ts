import assert from 'node:assert/strict'
import { test } from 'node:test'
import { countTokens, cutText, makeText, takeTokens } from './tokens.ts'

test('a generated text has exactly the tokens asked for, in every alphabet', () => {
  for (const alphabet of ['latin', 'cjk', 'emoji'] as const) {
    for (const tokens of [0, 1, 2, 17, 1000]) assert.equal(countTokens(makeText(tokens, alphabet)), tokens)
  }
})

test('pieces add up to the text and to its tokens, whatever its characters', () => {
  const texts = [
    '',
    'a',
    'abcde',
    makeText(9),
    makeText(9, 'cjk'),
    makeText(9, 'emoji'),
    'é',
    'naïve café 🙂 日本',
    'ааааа',
  ]
  for (const text of texts) {
    for (const tokensPerPiece of [1, 2, 7]) {
      const pieces = [...cutText(text, tokensPerPiece)]
      assert.equal(pieces.map(piece => piece.text).join(''), text)
      assert.equal(
        pieces.reduce((sum, piece) => sum + piece.tokens, 0),
        countTokens(text),
      )
      assert.ok(pieces.every(piece => !piece.text.includes('\uFFFD')))
    }
  }
})

test('a text cut to a limit never passes it and never breaks a character', () => {
  assert.equal(takeTokens('abcdefgh', 1), 'abcd')
  assert.equal(takeTokens('日本語', 1), '日')
  assert.equal(takeTokens('short', 9), 'short')
  assert.equal(takeTokens('abc', 0), '')
})
