import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { ResponseParser } from './response-parser.ts'

interface Seen {
  heads: { status: number; headers: string[] }[]
  body: string
  ends: boolean[]
  error?: string
}

/** Feeds pieces as they would be read. */
function read(pieces: readonly Buffer[], method = 'POST', closed = false): Seen {
  const seen: Seen = { heads: [], body: '', ends: [] }
  const chunks: Buffer[] = []
  const parser = new ResponseParser({
    onHead: ({ status, headers }) => seen.heads.push({ status, headers }),
    onBody: chunk => chunks.push(chunk),
    onEnd: reusable => seen.ends.push(reusable),
  })
  parser.expect(method)
  try {
    for (const piece of pieces) parser.feed(Buffer.from(piece))
    if (closed) parser.finish()
  } catch (error) {
    seen.error = (error as { code: string }).code
  }
  seen.body = Buffer.concat(chunks).toString('latin1')
  return seen
}

const whole = (text: string): Buffer[] => [Buffer.from(text, 'latin1')]
const ok = 'HTTP/1.1 200 OK\r\n'

/** A generator of the same numbers for the same seed. */
function randomOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

function cutAnywhere(text: string, random: () => number): Buffer[] {
  const bytes = Buffer.from(text, 'latin1')
  const pieces: Buffer[] = []
  for (let at = 0; at < bytes.length; ) {
    const next = Math.min(bytes.length, at + 1 + Math.floor(random() * (random() < 0.3 ? 400 : 7)))
    pieces.push(bytes.subarray(at, next))
    at = next
  }
  return pieces
}

const responses: { name: string; text: string; status: number; body: string; reusable: boolean; method?: string }[] = [
  {
    name: 'a body of declared length',
    text: `${ok}Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{"a":"\xe9\xff"}`,
    status: 200,
    body: '{"a":"\xe9\xff"}',
    reusable: true,
  },
  {
    name: 'a chunked body with extensions and trailers',
    text: `${ok}transfer-encoding: Chunked\r\n\r\n5\r\ndata:\r\nA;x="1"\r\n 0123\r\n456\r\n0\r\nx-trailer: 1\r\n\r\n`,
    status: 200,
    body: 'data: 0123\r\n456',
    reusable: true,
  },
  {
    name: 'an interim response before the final one',
    text: `HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n${ok}content-length: 2\r\n\r\nhi`,
    status: 200,
    body: 'hi',
    reusable: true,
  },
  { name: 'no body by status', text: 'HTTP/1.1 204 No Content\r\n\r\n', status: 204, body: '', reusable: true },
  {
    name: 'no body by method',
    text: `${ok}content-length: 9\r\n\r\n`,
    status: 200,
    body: '',
    reusable: true,
    method: 'HEAD',
  },
  {
    name: 'a connection that is not kept',
    text: `${ok}connection: close\r\ncontent-length: 2\r\n\r\nhi`,
    status: 200,
    body: 'hi',
    reusable: false,
  },
  {
    name: 'a connection that is not kept, whatever else is said of it',
    text: `${ok}connection: close\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nhi`,
    status: 200,
    body: 'hi',
    reusable: false,
  },
  {
    name: 'the old version',
    text: 'HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi',
    status: 200,
    body: 'hi',
    reusable: false,
  },
  {
    name: 'a status line without words',
    text: 'HTTP/1.1 429\r\ncontent-length: 0\r\n\r\n',
    status: 429,
    body: '',
    reusable: true,
  },
]

for (const { name, text, status, body, reusable, method } of responses) {
  test(`read the same however it is cut: ${name}`, () => {
    const random = randomOf(7)
    const expected = read(whole(text), method)
    assert.equal(expected.error, undefined)
    assert.deepEqual(
      expected.heads.map(head => head.status),
      [status],
    )
    assert.equal(expected.body, body)
    assert.deepEqual(expected.ends, [reusable])
    for (let i = 0; i < 200; i++) assert.deepEqual(read(cutAnywhere(text, random), method), expected)
    const bytes = Buffer.from(text, 'latin1')
    assert.deepEqual(
      read(
        Array.from(bytes, byte => Buffer.of(byte)),
        method,
      ),
      expected,
    )
  })
}

test('a body without a length ends with its connection, which is not used again', () => {
  const seen = read(whole(`${ok}\r\nall of it`), 'POST', true)
  assert.equal(seen.body, 'all of it')
  assert.deepEqual(seen.ends, [false])
})

test('a connection that ends inside a response is an error, wherever that is', () => {
  for (const text of [
    '',
    'HTTP/1.1 200',
    `${ok}content-length: 5\r\n\r\nhi`,
    `${ok}transfer-encoding: chunked\r\n\r\n5\r\nhi`,
  ]) {
    const seen = read(whole(text), 'POST', true)
    assert.equal(seen.error, 'OTHER_SIDE_CLOSED', text)
    assert.deepEqual(seen.ends, [])
  }
})

test('bytes behind a response close the connection: they could be taken for the next answer', () => {
  assert.deepEqual(read(whole(`${ok}content-length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\n`)).ends, [false])
  assert.deepEqual(read(whole('HTTP/1.1 204 No Content\r\n\r\nsurplus')).ends, [false])
  assert.deepEqual(read(whole(`${ok}transfer-encoding: chunked\r\n\r\n0\r\n\r\nsurplus`)).ends, [false])
  assert.equal(read([...whole(`${ok}content-length: 0\r\n\r\n`), Buffer.from('late')]).error, 'BAD_RESPONSE')
})

test('headers come in lower case, in their order, doubled ones twice, without the space around them', () => {
  const text = `${ok}X-A:  one two \t\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nEmpty:\r\ncontent-length: 0\r\n\r\n`
  assert.deepEqual(read(whole(text)).heads[0]?.headers, [
    ...['x-a', 'one two', 'set-cookie', 'a', 'set-cookie', 'b', 'empty', '', 'content-length', '0'],
  ])
})

test('a head is read the same whatever head its connection had before', () => {
  const headers = [
    'date: Mon\r\ncontent-type: a/b\r\nx-id: 1\r\n',
    'date: Mon\r\ncontent-type: a/b\r\nx-id: 2\r\n',
    'date: Tue\r\nx-id: 1\r\nx-id: 12\r\nconnection: keep-alive\r\n',
    'date: Tue\r\nconnection: keep-alive\r\nx-id: 1\r\n',
    `long: ${'x'.repeat(5_000)}\r\ndate: Tue\r\n`,
    '',
  ]
  const texts = headers.flatMap(lines =>
    ['HTTP/1.1 200 OK', 'HTTP/1.1 200 O', 'HTTP/1.1 404 No'].map(
      line => `${line}\r\n${lines}content-length: 0\r\n\r\n`,
    ),
  )
  const heads: Seen['heads'] = []
  const parser = new ResponseParser({
    onHead: ({ status, headers }) => heads.push({ status, headers }),
    onBody: () => assert.fail('there is no body'),
    onEnd: () => {},
  })
  for (const one of texts) {
    for (const next of texts) {
      heads.length = 0
      for (const text of [one, next]) {
        parser.expect('POST')
        parser.feed(Buffer.from(text))
      }
      assert.deepEqual(heads, [...read(whole(one)).heads, ...read(whole(next)).heads])
    }
  }
})

const chunked = `${ok}transfer-encoding: chunked\r\n\r\n`
for (const [what, text] of Object.entries({
  'two lengths': `${ok}content-length: 1\r\ncontent-length: 2\r\n\r\nhi`,
  'a length and chunks': `${ok}content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
  'a list of lengths': `${ok}content-length: 2, 2\r\n\r\nhi`,
  'a signed length': `${ok}content-length: +2\r\n\r\nhi`,
  'a length in hexadecimal': `${ok}content-length: 0x2\r\n\r\nhi`,
  'a length of many digits': `${ok}content-length: ${'9'.repeat(16)}\r\n\r\nhi`,
  'an empty length': `${ok}content-length:\r\n\r\nhi`,
  'another transfer encoding': `${ok}transfer-encoding: gzip, chunked\r\n\r\n`,
  'chunked twice': `${ok}transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
  'chunks in the old version': 'HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
  'space before a colon': `${ok}content-length : 2\r\n\r\nhi`,
  'a folded line': `${ok}x-a: 1\r\n 2\r\ncontent-length: 0\r\n\r\n`,
  'a line feed alone': `${ok}x-a: 1\ncontent-length: 2\r\n\r\nhi`,
  'a carriage return alone': `${ok}x-a: 1\rcontent-length: 2\r\n\r\nhi`,
  'a NUL': `${ok}x-a: \0\r\ncontent-length: 0\r\n\r\n`,
  'a line without a colon': `${ok}nonsense\r\n\r\n`,
  'a name that is none': `${ok}a b: 1\r\n\r\n`,
  'no name': `${ok}: 1\r\n\r\n`,
  'no status line': 'hello\r\n\r\n',
  'another protocol': 'HTTP/2 200\r\n\r\n',
  'a status of four digits': 'HTTP/1.1 2000 OK\r\n\r\n',
  'a change of protocol': 'HTTP/1.1 101 Switching Protocols\r\n\r\n',
  'a head without an end': `${ok}${'x-a: 1\r\n'.repeat(10_000)}`,
  'too many headers': `${ok}${'x: 1\r\n'.repeat(300)}\r\n`,
  'a chunk without a size': `${chunked}\r\nhi`,
  'a chunk size that is none': `${chunked}zz\r\nhi`,
  'a signed chunk size': `${chunked}-2\r\nhi`,
  'a chunk size with space': `${chunked}2 \r\nhi\r\n0\r\n\r\n`,
  'a chunk size of nine digits': `${chunked}000000002\r\nhi\r\n`,
  'a chunk size with a line feed alone': `${chunked}2\nhi\r\n0\r\n\r\n`,
  'a chunk longer than its size': `${chunked}2\r\nhiho\r\n0\r\n\r\n`,
  'a chunk with a line feed alone': `${chunked}2\r\nhi\n0\r\n\r\n`,
  'an extension without an end': `${chunked}2;${'x'.repeat(5_000)}\r\nhi\r\n0\r\n\r\n`,
  'trailers without an end': `${chunked}0\r\n${'x: 1\r\n'.repeat(3_000)}\r\n`,
  'a trailer with a line feed alone': `${chunked}0\r\nx: 1\n\r\n`,
})) {
  test(`what could be read in two ways is refused: ${what}`, () => {
    const pieces = whole(text).flatMap(bytes =>
      Array.from({ length: Math.ceil(bytes.length / 60_000) }, (_, i) => bytes.subarray(i * 60_000, (i + 1) * 60_000)),
    )
    for (const before of [[], whole(`${ok}x-a: 1\r\ncontent-length: 0\r\n\r\n`)]) {
      const seen = read([...before, ...pieces])
      assert.equal(seen.error, 'BAD_RESPONSE')
      assert.deepEqual(
        seen.ends,
        before.map(() => true),
      )
    }
  })
}

test('a connection keeps nothing of a large first head, nor does a header that someone keeps of it', () => {
  setFlagsFromString('--expose-gc')
  const collect: () => void = runInNewContext('gc')
  const head = (size: number) =>
    Buffer.from(
      `HTTP/1.1 200 Very well\r\nrequest-id: req_0123456789abcdef\r\nlarge: ${'x'.repeat(size)}\r\ncontent-length: 0\r\n\r\n`,
    )
  const connections = 50
  const kept: unknown[] = []
  const usedBytes = (): number => {
    collect()
    return process.memoryUsage().heapUsed
  }
  /** That many connections, each with one head read, and one header of it kept. */
  const connect = (size: number): void => {
    for (let i = 0; i < connections; i++) {
      const parser = new ResponseParser({
        onHead: ({ headers }) => kept.push(headers[1]),
        onBody: () => {},
        onEnd: () => {},
      })
      parser.expect('GET')
      parser.feed(head(size))
      kept.push(parser)
    }
  }
  connect(10)
  const before = usedBytes()
  connect(10)
  const small = usedBytes() - before
  connect(60_000)
  const large = usedBytes() - before - small
  assert.equal(kept.length, 3 * 2 * connections)
  assert.ok(large < small + (connections * 60_000) / 4, `${large} bytes, ${small} of small heads`)
})
