import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { SecuredSender } from './secured-sender.ts'

function openSender(secured: (() => Promise<void>) | undefined) {
  const sent: string[] = []
  const held: boolean[] = []
  let unsecured = 0
  const sender = new SecuredSender({
    secured,
    onHeld: isHeld => held.push(isHeld),
    onUnsecured: () => unsecured++,
  })
  return { sender, sent, held, unsecured: () => unsecured, send: (text: string) => sender.send(() => sent.push(text)) }
}

test('what speaks of a record waits until it is secured, and what comes behind waits with it, in order', async () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const { sender, sent, held, send } = openSender(() => promise)
  send('a')
  sender.secureNext()
  for (const text of ['b', 'c']) send(text)
  await nextTurn()
  assert.deepEqual([sent, held, sender.isHolding], [['a'], [true], true])
  resolve()
  await nextTurn()
  send('d')
  assert.deepEqual([sent, held, sender.isHolding], [['a', 'b', 'c', 'd'], [true, false], false])
})

test('what cannot be secured is never sent, nor what is behind it', async () => {
  const { sender, sent, unsecured, send } = openSender(() => Promise.reject(new Error('the disk is gone')))
  sender.secureNext()
  for (const text of ['a', 'b']) send(text)
  await nextTurn()
  assert.deepEqual([sent, unsecured()], [[], 1])
})

test('where no call waits for the journal, nothing is held', () => {
  const { sender, sent, held, send } = openSender(undefined)
  sender.secureNext()
  send('a')
  assert.deepEqual([sent, held], [['a'], []])
})
