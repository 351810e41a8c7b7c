import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Call } from '../call.ts'
import { ProviderError } from '../provider-error.ts'
import { readForm } from './form.ts'

const read = (type: string, body: string) =>
  readForm({ headers: { 'content-type': type }, bytes: Buffer.from(body) } as unknown as Call)
const part = (disposition: string, text: string) =>
  `--b\r\nContent-Type: text/plain\r\ncontent-disposition: form-data; ${disposition}\r\n\r\n${text}\r\n`

test('a form is read as browsers and libraries write it: texts by their names, files in order, whatever their bytes are', async () => {
  const body = `${part('name="a%22b"', 'tëxt\r\n\r\n--c')}${part('name="image[]"; filename="x"', '--b-\r\n')}${part('filename=""; name="image[]"', '')}--b--\r\n`
  for (const type of ['multipart/form-data; boundary=b', 'Multipart/Form-Data; charset=utf-8; boundary="b"']) {
    const form = read(type, body)
    assert.equal(form.text('a"b'), 'tëxt\r\n\r\n--c')
    assert.equal(form.text('image[]'), undefined)
    assert.deepEqual(
      form.files.map(({ name, bytes }) => [name, bytes.toString()]),
      [
        ['image[]', '--b-\r\n'],
        ['image[]', ''],
      ],
    )
  }
  const data = new FormData()
  data.append('model', 'whisper-1')
  data.append('file', new File(['sound'], 'said "well".wav'))
  const written = new Response(data)
  const form = read(written.headers.get('content-type') ?? '', await written.text())
  assert.deepEqual([form.text('model'), form.files.map(({ bytes }) => bytes.toString())], ['whisper-1', ['sound']])
})

test('what is no form, or is cut off, is told as such', () => {
  const whole = `${part('name="a"', 'x')}--b--`
  assert.equal(read('multipart/form-data; boundary=b', whole).text('a'), 'x')
  for (const [type, body] of [
    ['multipart/form-data', whole],
    ['multipart/form-data; boundary=c', whole],
    ['application/json; boundary=b', whole],
    ['multipart/form-data; boundary=b', ''],
    ['multipart/form-data; boundary=b', whole.slice(0, -2)],
    ['multipart/form-data; boundary=b', whole.slice(0, -6)],
    ['multipart/form-data; boundary=b', `${part('filename="a"', 'x')}--b--`],
  ] as const)
    assert.throws(() => read(type, body), ProviderError, `${type} ${body}`)
})
