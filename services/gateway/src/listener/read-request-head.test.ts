import assert from 'node:assert/strict'
import test from 'node:test'
import { RequestHeadReader } from './read-request-head.ts'

const lines = ['POST /v1/chat/completions?a=1 HTTP/1.1', 'Host: sluice', 'X-Two:  words here \t', 'content-length: 2']

const read = (head: readonly string[]) =>
  new RequestHeadReader().read(Buffer.from(`${head.join('\r\n')}\r\n\r\n{}`, 'latin1'))

test('a head is read as it came, white space around values left out', () => {
  const head = lines.join('\r\n')
  assert.deepEqual(read(lines), {
    method: 'POST',
    target: '/v1/chat/completions?a=1',
    fields: { raw: ['Host', 'sluice', 'X-Two', 'words here'] },
    bodyStart: head.length + 4,
    bodyBytes: 2,
  })
})

test('one that breaks off anywhere is unfinished', () => {
  const whole = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`)
  for (let length = 1; length < whole.length; length++)
    assert.equal(new RequestHeadReader().read(whole.subarray(0, length)), 'unfinished', `cut at ${length}`)
})

test('what begins otherwise, or finds no end, is left to the HTTP server at once', () => {
  for (const text of ['G', 'POSTER', 'POST h', '\u0016\u0003\u0001', `POST /${'a'.repeat(9_000)}`])
    assert.equal(new RequestHeadReader().read(Buffer.from(text, 'latin1')), undefined, text.slice(0, 20))
})

test('a head that is the last one but for its length is not read again; any other difference is seen', () => {
  const reader = new RequestHeadReader()
  const at = (head: readonly string[]) => reader.read(Buffer.from(`${head.join('\r\n')}\r\n\r\n`, 'latin1'))
  const fieldsOf = (head: ReturnType<typeof at>) => (typeof head === 'object' ? head.fields : undefined)
  const upTo = lines.slice(0, 3)
  const first = fieldsOf(at(lines))
  assert.ok(first)
  const same = at([...upTo, 'content-length: 12345'])
  assert.equal(fieldsOf(same), first)
  assert.equal(typeof same === 'object' && same.bodyBytes, 12345)
  for (const length of ['', '+2', '02', '2 2', '2, 2', '1234567890', '2\r\nx: 1'])
    assert.notEqual(fieldsOf(at([...upTo, `content-length: ${length}`])), first, `length ${JSON.stringify(length)}`)
  assert.equal(fieldsOf(at([...upTo, 'content-length: 2, 2'])), undefined)
  const other = fieldsOf(at([lines[0] ?? '', 'Host: sluicf', ...lines.slice(2)]))
  assert.deepEqual(other, { raw: ['Host', 'sluicf', 'X-Two', 'words here'] })
})

const others: Record<string, readonly string[]> = {
  'another method': ['GET /v1/chat/completions HTTP/1.1', ...lines.slice(1)],
  'a method in lower case': ['post /v1/chat/completions HTTP/1.1', ...lines.slice(1)],
  'HTTP/1.0': ['POST /v1/chat/completions HTTP/1.0', ...lines.slice(1)],
  'an absolute target': ['POST http://other/v1/chat/completions HTTP/1.1', ...lines.slice(1)],
  'a space in the target': ['POST /v1/chat completions HTTP/1.1', ...lines.slice(1)],
  'two spaces behind the method': ['POST  /v1/chat/completions HTTP/1.1', ...lines.slice(1)],
  'no host': [lines[0] ?? '', ...lines.slice(2)],
  'two hosts': [...lines, 'host: other'],
  'an empty host': [lines[0] ?? '', 'host:', ...lines.slice(2)],
  'no length': lines.slice(0, 3),
  'two lengths': [...lines, 'Content-Length: 2'],
  'a length with a sign': [...lines.slice(0, 3), 'content-length: +2'],
  'a length with a leading zero': [...lines.slice(0, 3), 'content-length: 02'],
  'a length in hex': [...lines.slice(0, 3), 'content-length: 0x2'],
  'two values in one length': [...lines.slice(0, 3), 'content-length: 2, 2'],
  'a transfer encoding': [...lines, 'Transfer-Encoding: chunked'],
  'an expectation': [...lines, 'expect: 100-continue'],
  'an upgrade': [...lines, 'upgrade: websocket'],
  trailers: [...lines, 'trailer: x'],
  'a connection that is to be closed': [...lines, 'connection: close'],
  'a connection that names headers': [...lines, 'connection: keep-alive, x-two'],
  'a space before the colon': [...lines, 'x-three : 1'],
  'a line without a colon': [...lines, 'x-three'],
  'a name with a space': [...lines, 'x three: 1'],
  'an empty name': [...lines, ': 1'],
  'a folded line': [...lines, 'x-three: 1', ' 2'],
  'a lone carriage return': [...lines, 'x-three: 1\rx-four: 2'],
  'a lone line feed': [...lines, 'x-three: 1\nx-four: 2'],
  'a control character': [...lines, 'x-three: \u0001'],
  'a byte above 126': [...lines, 'x-three: \u00e4'],
  'an empty line before it': ['', ...lines],
  'more than 64 headers': [...lines, ...Array.from({ length: 64 }, (_, i) => `x-${i}: 1`)],
  'a head of more than 8 kB': [...lines, `x-three: ${'a'.repeat(9_000)}`],
}
for (const [what, head] of Object.entries(others))
  test(`${what}: left to the HTTP server`, () => assert.equal(read(head), undefined))
