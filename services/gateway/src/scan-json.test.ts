import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { sized } from '@sluice/test-env/test-size'
import fc from 'fast-check'
import { anyCharacter } from '../test/any-character.ts'
import { elementsOf, isTrue, JsonScanError, parseCount, parseString, scanObject } from './scan-json.ts'

const wanted = new Set(['model', 'stream', 'stream_options'])

test('a scan finds what a parser would find, in any object', () => {
  fc.assert(
    fc.property(
      fc.dictionary(
        fc.oneof(fc.constantFrom('model', 'stream', 'a"b'), fc.string({ unit: anyCharacter })),
        fc.jsonValue(),
      ),
      fc.constantFrom(0, 1, 3),
      (object, indent) => {
        const body = Buffer.from(JSON.stringify(object, null, indent))
        const { members } = scanObject(body, new Set(Object.keys(object)))
        for (const [key, value] of Object.entries(JSON.parse(body.toString()) as Record<string, unknown>)) {
          const span = members.get(key)
          assert.ok(span, key)
          assert.deepEqual(JSON.parse(body.toString('utf8', span.start, span.end)), value)
        }
      },
    ),
    { seed: 4, numRuns: sized({ small: 100, full: 500 }) },
  )
})

test('the elements of an array are those that a parser finds, and nothing else has any', () => {
  fc.assert(
    fc.property(fc.array(fc.jsonValue()), fc.constantFrom(0, 1, 3), (array, indent) => {
      const body = Buffer.from(JSON.stringify({ model: array }, null, indent))
      const span = scanObject(body, wanted).members.get('model')
      assert.ok(span)
      const elements = [...elementsOf(body, span)].map(({ start, end }) => body.toString('utf8', start, end))
      assert.deepEqual(
        elements.map(element => JSON.parse(element)),
        JSON.parse(JSON.stringify(array)),
      )
    }),
    { numRuns: sized({ small: 60, full: 200 }) },
  )
  const body = Buffer.from('{"model": {"a": [1, 2]}}')
  assert.deepEqual([...elementsOf(body, { start: 10, end: 23 })], [])
})

test('strings longer than the near window end at their own quote, escaped quotes and backslashes included', () => {
  for (const text of [
    `${'x'.repeat(100)}\\`,
    `${'y'.repeat(47)}"`,
    `${'\\'.repeat(61)}"${'\\'.repeat(2)}`,
    `${'é'.repeat(80)}"}`,
  ]) {
    const body = Buffer.from(JSON.stringify({ a: text, model: 'm' }))
    const span = scanObject(body, wanted).members.get('model')
    assert.ok(span)
    assert.equal(parseString(body, span), 'm')
  }
})

test('a member named twice is refused, also behind an escape', () => {
  for (const body of ['{"model":"a","model":"b"}', '{"model":"a","mod\\u0065l":"b"}']) {
    assert.throws(() => scanObject(Buffer.from(body), wanted), /twice/)
  }
})

test('what is no JSON object is refused', () => {
  for (const body of [
    '',
    '[]',
    '"x"',
    '{',
    '{"a"',
    '{"a":}',
    '{"a":1',
    '{"a":[1}',
    '{"a":"x}',
    '{"a":1}x',
    '{a:1}',
    '{"a":1,}',
    `{"a":${'['.repeat(600)}${']'.repeat(600)}}`,
  ]) {
    assert.throws(() => scanObject(Buffer.from(body), wanted), JsonScanError, body.slice(0, 20))
  }
})

test('only the literal true is true', () => {
  const body = Buffer.from('{"stream":true,"model":"true"}')
  const { members } = scanObject(body, wanted)
  assert.equal(isTrue(body, members.get('stream')), true)
  assert.equal(isTrue(body, members.get('model')), false)
  assert.equal(isTrue(body, undefined), false)
})

test('only base64 of images, sound and files is no text: other text without a space is counted as what it is', () => {
  const long = (text: string) => text.repeat(Math.ceil(4000 / text.length))
  const sealed = randomBytes(3000)
  const binaryIn = (value: unknown, space?: number) => {
    const { binaryBytes, binaryParts } = scanObject(Buffer.from(JSON.stringify(value, null, space)), new Set())
    return { binaryBytes, binaryParts }
  }
  const said = {
    Chinese: long('今天天气很好我们去公园散步吧'),
    Thai: long('วันนี้อากาศดีมาก'),
    'minified JSON': JSON.stringify(Array.from({ length: 200 }, (_, id) => ({ id, name: `n${id}` }))),
    CSV: long('1,2,3\n'),
    English: long('It is a fine day. '),
    'words joined by lines': long('fine_day_'),
    base64: sealed.toString('base64'),
    'a data URL': `data:image/png;base64,${sealed.toString('base64')}`,
  }
  for (const [what, text] of Object.entries(said))
    for (const body of [{ prompt: text }, { messages: [{ role: 'user', content: text }] }, { input: ['data', text] }])
      assert.deepEqual(binaryIn(body), { binaryBytes: 0, binaryParts: 0 }, what)
  for (const what of ['Chinese', 'Thai', 'minified JSON', 'CSV', 'English'] as const)
    assert.equal(binaryIn({ source: { data: said[what] } }).binaryParts, 0, `${what} where an image belongs`)

  const lines = sealed.toString('base64').replace(/.{76}/g, '$&\r\n')
  for (const value of [said.base64, said['a data URL'], sealed.toString('base64url'), lines])
    for (const member of ['data', 'url', 'image_url', 'file_data', 'audio'])
      for (const space of [undefined, 2])
        assert.deepEqual(
          binaryIn({ content: [{ type: 'text', text: 'See:' }, { [member]: value }] }, space),
          { binaryBytes: JSON.stringify(value).length, binaryParts: 1 },
          `${member} ${value.slice(0, 30)}`,
        )
  const escaped = Buffer.from(`{"data":"${long('aGVs/G8+').replaceAll('/', '\\/')}"}`)
  assert.equal(scanObject(escaped, new Set()).binaryParts, 1, 'with escaped slashes')
})

test('text behind a beginning of base64 is text, wherever in the string it stands', () => {
  const partsOf = (data: string) => scanObject(Buffer.from(JSON.stringify({ source: { data } })), new Set()).binaryParts
  const sealed = randomBytes(60_000).toString('base64')
  const lines = sealed.replace(/.{76}/g, '$&\r\n')
  const english = 'It is a fine day. '.repeat(50_000)
  assert.equal(partsOf('A'.repeat(600) + english), 0)
  for (const [what, hidden] of Object.entries({
    English: ' fine day ',
    Chinese: '今天天气很好'.repeat(200),
    JSON: '{"id":1},'.repeat(200),
  }))
    for (const at of [0, sealed.length / 2, sealed.length])
      assert.equal(partsOf(`${sealed.slice(0, at)}${hidden}${sealed.slice(at)}`), 0, `${what} at ${at}`)
  assert.equal(partsOf(`${sealed.slice(0, 3_000)} It is a fine day ${sealed.slice(3_000)}`), 0, 'words anywhere')
  for (const data of [sealed, lines, `data:image/png;base64,${lines}`])
    assert.equal(partsOf(data), 1, data.slice(0, 30))
  // Wherever the windows cut the escapes of line ends.
  for (let length = 4_000; length < 4_160; length++) assert.equal(partsOf(lines.slice(0, length)), 1, `${length}`)
})

test('a data URL of text is as much text as it encodes, one of anything else is a part', () => {
  const encoded = Buffer.from('It is a fine day. '.repeat(5_000)).toString('base64')
  const read = (type: string) => {
    const url = `data:${type};base64,${encoded}`
    const { binaryBytes, binaryParts } = scanObject(Buffer.from(JSON.stringify({ file_data: url })), new Set())
    return { length: url.length + 2, binaryBytes, binaryParts }
  }
  for (const type of [
    'text/plain',
    'text/csv;charset=utf-8',
    'Text/HTML',
    'application/json',
    'application/x-ndjson',
    'application/ld+json',
    'application/xml',
    'application/atom+xml;charset=utf-8',
  ]) {
    const { length, ...found } = read(type)
    assert.deepEqual(found, { binaryBytes: Math.floor(length / 4), binaryParts: 0 }, type)
  }
  for (const type of [
    'application/pdf',
    'image/png',
    'audio/wav',
    'application/vnd.openxmlformats-officedocument.wordprocessingml.document',
  ]) {
    const { length, ...found } = read(type)
    assert.deepEqual(found, { binaryBytes: length, binaryParts: 1 }, type)
  }
  const escaped = `{"file_data":"data:text\\/plain;base64,${encoded}"}`
  assert.equal(scanObject(Buffer.from(escaped), new Set()).binaryParts, 0, 'with an escaped slash')
})

test('a count is read as the number that it is, and nothing else as one', () => {
  const counts: [text: string, count: number | undefined][] = [
    ['0', 0],
    ['256', 256],
    ['256.0', 256],
    ['2.5e2', 250],
    ['999999999999999', 999_999_999_999_999],
    ['9007199254740991', Number.MAX_SAFE_INTEGER],
    ['9007199254740993', undefined],
    ['-1', undefined],
    ['1.5', undefined],
    ['"256"', undefined],
    ['null', undefined],
    ['25x', undefined],
  ]
  for (const [text, count] of counts)
    assert.equal(parseCount(Buffer.from(`[${text}]`), { start: 1, end: 1 + text.length }), count, text)
})
