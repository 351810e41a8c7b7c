import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sized } from '@sluice/test-env/test-size'
import fc from 'fast-check'
import { anyCharacter } from '../test/any-character.ts'
import { JsonWalker } from './json-walker.ts'
import { JsonScanError } from './scan-json.ts'

function walk(bytes: Buffer, options: { cuts?: readonly number[]; sequence?: boolean; once?: string[] } = {}) {
  const texts: [string, string][] = []
  const closed: string[] = []
  const walker = new JsonWalker({
    once: new Set(options.once ?? []),
    wants: () => true,
    onText: (path, text) => texts.push([path.join('/'), text]),
    onClose: path => closed.push(path.join('/')),
    ...(options.sequence === undefined ? {} : { sequence: options.sequence }),
  })
  let at = 0
  for (const cut of [...(options.cuts ?? []), bytes.length]) {
    walker.write(bytes.subarray(at, cut))
    at = cut
  }
  walker.end()
  return { texts, closed, values: walker.values }
}

/** Every text of a value with its path, as an independent reader finds it. */
function textsOf(value: unknown, path: (string | number)[] = []): [string, string][] {
  if (typeof value === 'string') return [[path.join('/'), value]]
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([name, inner]) => textsOf(inner, [...path, name]))
}

test('texts and their paths are those of a parser, wherever the pieces are cut', () => {
  // Names are kept apart, since an object that has one twice has no one meaning.
  const value = fc.letrec(tie => ({
    node: fc.oneof(
      { maxDepth: 3, withCrossShrink: true },
      fc.string({ unit: anyCharacter, maxLength: 40 }),
      fc.integer(),
      fc.boolean(),
      fc.constant(null),
      fc.constantFrom('\\', '"', '\\"', '\\\\', 'a\\', '{[",'),
      fc.array(tie('node'), { maxLength: 4 }),
      fc.dictionary(
        fc.string({ maxLength: 8 }).filter(key => key !== '__proto__'),
        tie('node'),
        { maxKeys: 4 },
      ),
    ),
  })).node
  fc.assert(
    fc.property(value, fc.array(fc.nat()), fc.constantFrom(undefined, 2), (made, cuts, indent) => {
      const bytes = Buffer.from(JSON.stringify(made, undefined, indent))
      const sorted = cuts.map(cut => cut % (bytes.length + 1)).sort((a, b) => a - b)
      assert.deepEqual(walk(bytes, { cuts: sorted }).texts, textsOf(made))
    }),
    { numRuns: sized({ small: 100, full: 500 }) },
  )
})

test('a text cut after its backslash, and a name in escapes, are read as what they are', () => {
  const bytes = Buffer.from('{"mod\\u0065l":"a\\\\\\"b"}')
  for (let cut = 0; cut <= bytes.length; cut++)
    assert.deepEqual(walk(bytes, { cuts: [cut] }).texts, [['model', 'a\\"b']])
})

test('values that follow each other are numbered', () => {
  const { texts, values } = walk(Buffer.from('{"id":"a"}\n{"id":"b"}\r\n\n{"id":"c"}'), { sequence: true })
  assert.deepEqual(texts, [
    ['0/id', 'a'],
    ['1/id', 'b'],
    ['2/id', 'c'],
  ])
  assert.equal(values, 3)
})

test('a name that counts once may stand in many objects, and not twice in one, however it is spelt', () => {
  assert.equal(walk(Buffer.from('[{"model":"a"},{"model":"b"}]'), { once: ['model'] }).texts.length, 2)
  for (const body of [
    '{"model":"a","model":"b"}',
    '{"model":"a","x":1,"mod\\u0065l":"b"}',
    '{"a":{"model":1,"model":2}}',
  ])
    assert.throws(() => walk(Buffer.from(body), { once: ['model'] }), /twice/)
})

test('what is no JSON, ends early, goes on behind its end or is nested without end is refused', () => {
  for (const body of [
    '',
    '{',
    '{"a"',
    '{"a":',
    '{"a":1',
    '[1,',
    '{"a":1]',
    '{a:1}',
    '{"a" 1}',
    '[1 2]',
    '{"a":1,}',
    '[,]',
    '{}{}',
    'nul{}',
    '"a',
    ']',
    '{"a":1}}',
    "{'a':1}",
    '\ufeff{}',
    '{"a":"b\nc"}',
  ])
    assert.throws(() => walk(Buffer.from(body)), JsonScanError, body)
  assert.throws(() => walk(Buffer.from('['.repeat(600))), /nested/)
})

test('a long text that nobody wants is not kept, a wanted one is refused', () => {
  const long = Buffer.from(JSON.stringify({ prompt: 'x'.repeat(100_000), model: 'm' }))
  const texts: string[] = []
  const walker = new JsonWalker({
    once: new Set(),
    wants: path => path[0] === 'model',
    onText: (_path, text) => texts.push(text),
    onClose: () => {},
  })
  walker.write(long)
  walker.end()
  assert.deepEqual(texts, ['m'])
  assert.throws(() => walk(long), /too long/)
})
