import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { readBoundary } from './form-frame.ts'
import { FormReader, type ReadForm } from './form-reader.ts'

const wanted = new Set(['model', 'stream'])
const field = (name: string, value: string) =>
  `--b\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`
const file = (name: string, bytes: string) =>
  `--b\r\nContent-Disposition: form-data; name="${name}"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n${bytes}\r\n`
const end = '--b--\r\n'

async function readForm(text: string, pieceBytes = text.length): Promise<ReadForm> {
  const reader = new FormReader('b', wanted)
  const bytes = Buffer.from(text, 'latin1')
  for (let at = 0; at < bytes.length; at += pieceBytes) await reader.write(bytes.subarray(at, at + pieceBytes))
  return reader.finish()
}

test('a form says its fields, the size of each part, and how many files it has', async () => {
  const form = await readForm(
    field('model', 'whisper-1') +
      field('prompt', 'Sea') +
      file('file', '12345') +
      field('x[]', '1') +
      field('x[]', '22') +
      end,
  )
  assert.deepEqual([...form.fields], [['model', 'whisper-1']])
  assert.deepEqual(Object.fromEntries(form.bytes), { model: 9, prompt: 3, file: 5, 'x[]': 3 })
  assert.deepEqual([...form.files], [['file', 1]])
})

test('a form reads the same whatever the borders of its chunks', async () => {
  const text = file('file', '\r\n--a\r\n--\r\n-'.repeat(40)) + field('model', 'm-1') + field('stream', 'true') + end
  const whole = await readForm(text)
  assert.equal(whole.fields.get('model'), 'm-1')
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 200 }), async size => {
      assert.deepEqual(await readForm(text, size), whole)
    }),
    { numRuns: 60, seed: 11, examples: [[1], [2], [3]] },
  )
})

test('a model behind ten megabytes is found', async () => {
  const form = await readForm(file('file', 'x'.repeat(10_500_000)) + field('model', 'whisper-1') + end, 65_536)
  assert.equal(form.fields.get('model'), 'whisper-1')
  assert.equal(form.bytes.get('file'), 10_500_000)
})

const odd: [string, string, RegExp][] = [
  ['two models', field('model', 'a') + field('model', 'b') + end, /names "model" twice/],
  ['a model that is a file', file('model', 'a') + end, /"model" is a file/],
  ['a model in a file and in a field', file('model', 'a') + field('model', 'b') + end, /"model" is a file/],
  ['a sound in a file and in a field', file('file', 'a') + field('file', 'b') + end, /"file" is a file, and is none/],
  ['a sound in a field and in a file', field('file', 'a') + file('file', 'b') + end, /"file" is a file, and is none/],
  ['bytes before the form', `x\r\n${field('model', 'a')}${end}`, /does not begin/],
  ['a line before the form', `\r\n${field('model', 'a')}${end}`, /does not begin/],
  ['bytes behind the form', `${field('model', 'a')}${end}x`, /behind its end/],
  ['a second form behind the first', field('model', 'a') + end + field('model', 'b') + end, /behind its end/],
  ['a form without an end', field('model', 'a'), /ends before/],
  ['half a form', field('model', 'a').slice(0, 40), /ends before/],
  ['nothing but an end', end, /does not begin/],
  ['another boundary', (field('model', 'a') + end).replaceAll('--b', '--c'), /does not begin/],
  ['bare line feeds', (field('model', 'a') + end).replaceAll('\r\n', '\n'), /does not begin/],
  ['a part without a name', `--b\r\nContent-Disposition: form-data\r\n\r\na\r\n${end}`, /one name/],
  [
    'a part with two names',
    `--b\r\nContent-Disposition: form-data; name="x"; name="model"\r\n\r\na\r\n${end}`,
    /one name/,
  ],
  [
    'a name in another writing',
    `--b\r\nContent-Disposition: form-data; name="x"; name*=utf-8''model\r\n\r\na\r\n${end}`,
    /one name/,
  ],
  ['a name with an escape', field('mo\\del', 'a') + end, /name that no field has/],
  [
    'two dispositions',
    `--b\r\nContent-Disposition: form-data; name="x"\r\nContent-Disposition: form-data; name="model"\r\n\r\na\r\n${end}`,
    /one name/,
  ],
  ['a part without a head', `--b\r\n\r\na\r\n${end}`, /one name|no name/],
  [
    'a head that does not end',
    `--b\r\nContent-Disposition: form-data; name="x"\r\n${end}`,
    /no name|ends early|no end/,
  ],
  [
    'an encoded part',
    `--b\r\nContent-Disposition: form-data; name="model"\r\nContent-Transfer-Encoding: base64\r\n\r\nYQ==\r\n${end}`,
    /encoded/,
  ],
  [
    'a head of a megabyte',
    `--b\r\nContent-Disposition: form-data; name="x"\r\nX: ${'y'.repeat(1_000_000)}\r\n\r\na\r\n${end}`,
    /large a head/,
  ],
  ['too many parts', field('x', '1').repeat(200) + end, /more than 128 parts/],
  ['a model of a megabyte', field('model', 'm'.repeat(1_000_000)) + end, /longer than/],
]
for (const [name, text, message] of odd) {
  test(`refused, since readers could differ or be filled up: ${name}`, async () => {
    for (const size of [text.length, 1021, 7].filter(size => text.length / size < 20_000))
      await assert.rejects(readForm(text, size), { name: 'Refusal', reason: 'invalid_request', message })
  })
}

test('any bytes are read or refused, and nothing else happens', async () => {
  const pieces = fc.constantFrom(
    '--b',
    '\r\n',
    '--',
    'Content-Disposition: form-data; name="model"',
    '\r\n\r\n',
    'a',
    ':',
  )
  await fc.assert(
    fc.asyncProperty(fc.array(pieces, { maxLength: 30 }), fc.integer({ min: 1, max: 20 }), async (parts, size) => {
      await readForm(`--b\r\n${parts.join('')}\r\n--b--`, size).catch(error => assert.equal(error.name, 'Refusal'))
    }),
    { numRuns: 400, seed: 13 },
  )
})

test('a boundary is read from one plain header, and from no other', () => {
  const read = (...types: string[]) => readBoundary(types.flatMap(type => ['content-type', type]))
  assert.equal(read('multipart/form-data; boundary=----a_b'), '----a_b')
  assert.equal(read('Multipart/Form-Data;boundary="a b"; charset=utf-8'), 'a b')
  for (const type of [
    'application/json',
    'multipart/mixed; boundary=a',
    'multipart/form-data',
    'multipart/form-data; boundary=a; boundary=b',
    'multipart/form-data; boundary=a, multipart/form-data; boundary=b',
    'multipart/form-data; boundary="a\\"b"',
    `multipart/form-data; boundary=${'a'.repeat(71)}`,
    'multipart/form-data; boundary="a "',
    'multipart/form-data; boundary=',
  ])
    assert.throws(() => read(type), { reason: 'invalid_request' }, type)
  assert.throws(() => read('multipart/form-data; boundary=a', 'multipart/form-data; boundary=b'), { name: 'Refusal' })
  assert.throws(() => read(), { name: 'Refusal' })
})
