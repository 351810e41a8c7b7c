import assert from 'node:assert/strict'
import { test } from 'node:test'
import { estimateBodyTokens, sampleBody } from './estimate-body.ts'
import { TokenCounter } from './token-counter.ts'

/** Time stands still: counting takes none of it, however slow the machine. */
const counter = new TokenCounter({ now: () => 0 })
counter.load()

test('tokens of a text are counted by a vocabulary, and those of a longer one told from its beginning', () => {
  // "Sim", ":" and a word each.
  const text = `Sim:${' sea sky oak sun ice fog elm bay'.repeat(4)}`
  assert.equal(counter.countBySample(Buffer.byteLength(text), text), 34)
  const beginning = text.slice(0, 64)
  const told = counter.countBySample(Buffer.byteLength(text), beginning) ?? 0
  assert.ok(Math.abs(told - 34) <= 2, `${told}`)
})

test('texts of any kind are counted without an exception, within the time a second has for them', () => {
  const texts = [
    '',
    '<|endoftext|>',
    '\ud800 half a pair',
    'a'.repeat(5000),
    '世界'.repeat(600),
    '\u0000',
    '🙂'.repeat(300),
  ]
  for (const text of texts) {
    const tokens = counter.countBySample(Buffer.byteLength(text), text)
    assert.ok(tokens === undefined || (Number.isSafeInteger(tokens) && tokens > 0), JSON.stringify(text.slice(0, 9)))
  }
  assert.equal(counter.countBySample(100, ''), undefined)
})

test('what counting takes of a second is bounded: beyond it bytes have to do, and the next second counts again', () => {
  let now = 0
  let counts = 0
  const told: string[] = []
  const slow = new TokenCounter({
    now: () => now,
    onText: by => told.push(by),
    load: () => () => {
      counts += 1
      now += 5
      return 10
    },
  })
  slow.load()
  counts = 0
  now = 0
  const results = Array.from({ length: 50 }, () => slow.countBySample(40, 'some text'))
  assert.deepEqual([counts, results.filter(result => result !== undefined).length], [4, 4])
  assert.deepEqual(
    told,
    results.map(result => (result === undefined ? 'bytes' : 'vocabulary')),
  )
  now = 1000
  assert.equal(slow.countBySample(9, 'some text'), 10)
})

test('no count waits for the vocabulary: until it has been loaded, once and by order, bytes have to do', () => {
  let loads = 0
  const counting = new TokenCounter({
    load: () => {
      loads += 1
      return () => 1
    },
  })
  assert.equal(counting.countBySample(4, 'text'), undefined)
  assert.equal(loads, 0)
  counting.load()
  counting.load()
  assert.equal(counting.countBySample(4, 'text'), 1)
  assert.equal(loads, 1)
})

test('the tokens of a request are told from samples of all of it, what is binary left out', () => {
  const words = 'The quick brown fox jumps over the lazy dog. '
  const bodyOf = (content: unknown) =>
    Buffer.from(JSON.stringify({ model: 'm', messages: [{ role: 'user', content }] }))
  const text = bodyOf(words.repeat(200))
  const told = estimateBodyTokens(counter, sampleBody(text)) ?? 0
  // Ten words and a full stop a sentence.
  assert.ok(told > 1900 && told < 2300, `${told}`)
  const image = {
    type: 'image_url',
    image_url: { url: `data:image/png;base64,${'iVBORw0KGgoAAAANSUhEUgAA'.repeat(8000)}` },
  }
  const withImage =
    estimateBodyTokens(counter, sampleBody(bodyOf([{ type: 'text', text: words.repeat(200) }, image]))) ?? 0
  assert.ok(withImage > 2500 && withImage < 3600, `${withImage}: an image is about a thousand`)
})

test('a counter that loads late does so with the first text, once', () => {
  let loads = 0
  const late = new TokenCounter({
    loadsLate: true,
    load: () => {
      loads += 1
      return () => 3
    },
  })
  assert.deepEqual([loads, late.countWhole('three more words'), late.countBySample(4, 'four'), loads], [0, 3, 3, 1])
})
