import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WholeExchange } from './whole-exchange.ts'

/** The head of an answer with these headers, its date left out. */
function headOf(headers: readonly string[]): string[] {
  let written = ''
  const sink = {
    keptForS: 5,
    write: (head: readonly string[]) => {
      written += head.join('')
      return true
    },
    onAnswered: () => {},
    destroy: () => {},
  }
  const request = { method: 'POST', target: '/', fields: { raw: [] }, bodyStart: 0, bodyBytes: 0 }
  const exchange = new WholeExchange(request, Buffer.alloc(0), sink)
  exchange.writeHead(200, headers)
  exchange.end()
  return written.split('\r\n').filter(line => !line.startsWith('Date: '))
}

const framing = ['Connection: keep-alive', 'Keep-Alive: timeout=5', '', '']

test('an answer has its own headers, whatever those before it had in the same places', () => {
  const long = 'x'.repeat(1_000)
  const answers = [
    ['content-length', '0', 'a', 'one', 'b', 'two'],
    ['content-length', '0', 'a', 'one', 'b', 'three'],
    ['content-length', '0', 'b', 'one', 'a', 'two', 'c', ''],
    ['content-length', '0', 'a', long, 'b', 'two'],
    ['content-length', '0'],
    ['content-length', '0', 'a', 'one', 'b', 'two', 'c', long, 'd', 'three'],
  ]
  for (const one of answers)
    for (const next of answers)
      for (const headers of [one, one, one, next, one, next]) {
        const lines = headers.flatMap((name, i) => (i % 2 === 0 ? [`${name}: ${headers[i + 1]}`] : []))
        assert.deepEqual(headOf(headers), ['HTTP/1.1 200 OK', ...lines, ...framing])
      }
})

test('a value that would end its header is refused, whatever stood in its place before', () => {
  assert.throws(() => headOf(['content-length', '0', 'a', 'one\r\nx: y']), TypeError)
  assert.ok(headOf(['content-length', '0', 'a', 'one']))
  assert.throws(() => headOf(['content-length', '0', 'a', 'o\r\n']), TypeError)
  assert.throws(() => headOf(['content-length', '0', 'a', 'o\r\n']), TypeError)
})
