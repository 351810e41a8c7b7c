import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type Answer, SecuredAnswer } from './secured-answer.ts'

/** An answer that writes down what reaches the client. */
function clientAnswer() {
  const seen: string[] = []
  const answer: Answer = {
    writableFinished: false,
    on: () => {},
    writeHead: status => seen.push(`head ${status}`),
    flushHeaders: () => seen.push('flush'),
    write: bytes => seen.push(Buffer.from(bytes).toString()) > 0,
    end: bytes => seen.push(`end ${bytes ?? ''}`),
    destroy: () => seen.push('broken'),
  }
  return { seen, answer }
}

test('no byte goes out before it is secured, then all of them in order', async () => {
  const { seen, answer } = clientAnswer()
  const { promise, resolve } = Promise.withResolvers<void>()
  const secured = new SecuredAnswer(answer, () => promise)
  let drained = 0
  secured.on('drain', () => drained++)
  assert.equal(secured.write(Buffer.from('a')), false)
  secured.write(Buffer.from('b'))
  await nextTurn()
  assert.deepEqual([seen, drained], [[], 0])
  resolve()
  await nextTurn()
  assert.deepEqual([seen, drained], [['a', 'b'], 1])
  assert.equal(secured.write(Buffer.from('c')), true)
  secured.end('d')
  assert.deepEqual(seen, ['a', 'b', 'c', 'end d'])
})

test('an end that comes while the first byte waits comes behind it', async () => {
  const { seen, answer } = clientAnswer()
  const secured = new SecuredAnswer(answer, () => Promise.resolve())
  secured.write(Buffer.from('a'))
  secured.end()
  await nextTurn()
  assert.deepEqual(seen, ['a', 'end '])
})

test('what cannot be secured is never seen', async () => {
  const { seen, answer } = clientAnswer()
  const secured = new SecuredAnswer(answer, () => Promise.reject(new Error('the disk is gone')))
  secured.write(Buffer.from('a'))
  secured.end()
  await nextTurn()
  assert.deepEqual(seen, ['broken'])
})
