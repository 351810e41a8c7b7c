import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createSignInThrottle } from './sign-in-throttle.ts'

test('attempts end at the limit, per e-mail and address, until the window is over', () => {
  let now = 0
  const throttle = createSignInThrottle({ now: () => now, maxAttempts: 3, windowMs: 1000 })
  const tries = (email: string, ip: string) => [1, 2, 3, 4].map(() => throttle.allow(email, ip))
  assert.deepEqual(tries('a@example.com', '1.1.1.1'), [true, true, true, false])
  assert.equal(throttle.allow(' A@Example.com', '1.1.1.1'), false)
  assert.equal(throttle.allow('a@example.com', '2.2.2.2'), true)
  assert.equal(throttle.allow('b@example.com', '1.1.1.1'), true)
  now = 1000
  assert.equal(throttle.allow('a@example.com', '1.1.1.1'), true)
})

test('a success forgets the failures before it', () => {
  const throttle = createSignInThrottle({ now: () => 0, maxAttempts: 1 })
  assert.equal(throttle.allow('a@example.com', '1.1.1.1'), true)
  throttle.forget('a@example.com', '1.1.1.1')
  assert.equal(throttle.allow('a@example.com', '1.1.1.1'), true)
  assert.equal(throttle.allow('a@example.com', '1.1.1.1'), false)
})

test('a company behind one address signs in, and its failures alone count', () => {
  const throttle = createSignInThrottle({ now: () => 0 })
  const signIn = (email: string, ip: string) => {
    const isAllowed = throttle.allow(email, ip)
    if (isAllowed) throttle.forget(email, ip)
    return isAllowed
  }
  for (let n = 0; n < 300; n++) assert.ok(signIn(`${n}@example.com`, '203.0.113.1'), `person ${n}`)
  for (let n = 0; n < 300; n++) assert.ok(signIn('admin@example.com', `203.0.113.${n % 200}`), `address ${n}`)
  const failures = Array.from({ length: 120 }, (_, n) => throttle.allow(`x${n}@example.com`, '203.0.113.1'))
  assert.equal(failures.filter(Boolean).length, 100)
  assert.equal(throttle.allow('0@example.com', '203.0.113.1'), false)
})

test('one person who signs in without end is held back as one who fails', () => {
  const throttle = createSignInThrottle({ now: () => 0, maxPerAddress: 5 })
  let done = 0
  for (let n = 0; n < 50 && throttle.allow('a@example.com', '192.0.2.1'); n++, done++)
    throttle.forget('a@example.com', '192.0.2.1')
  assert.equal(done, 10)
})

test('memory is bounded', () => {
  const throttle = createSignInThrottle({ now: () => 0, maxAttempts: 1, maxEntries: 6 })
  for (const ip of ['1', '2', '3']) throttle.allow('a@example.com', ip)
  assert.equal(throttle.allow('a@example.com', '3'), false)
  assert.equal(throttle.allow('a@example.com', '1'), true)
})

test('one address has a limit over all e-mails, as one IPv6 network has, and one e-mail over all addresses', () => {
  const limits = { now: () => 0, maxAttempts: 2, maxPerAddress: 3, maxPerEmail: 4 }
  const allowedOf = (tries: readonly [email: string, ip: string][]) => {
    const throttle = createSignInThrottle(limits)
    return tries.filter(([email, ip]) => throttle.allow(email, ip)).length
  }
  const five = [1, 2, 3, 4, 5]
  assert.equal(allowedOf(five.map(n => [`${n}@example.com`, '192.0.2.1'])), 3)
  assert.equal(allowedOf(five.map(n => [`${n}@example.com`, `2001:db8:0:1::${n}`])), 3)
  assert.equal(allowedOf(five.map(n => [`${n}@example.com`, `2001:db8:0:${n}::1`])), 5)
  assert.equal(allowedOf(five.map(n => ['a@example.com', `192.0.2.${n}`])), 4)
  assert.equal(allowedOf(five.map(() => ['a@example.com', '192.0.2.1'])), 2)
})

test('whoever knew a password once, and kept many browsers by it, guesses the next no faster than everybody else', () => {
  const throttle = createSignInThrottle({ now: () => 0, maxPerEmail: 20 })
  const browsers = Array.from({ length: 50 }, (_, n) => `browser ${n}`)
  const tries = browsers.flatMap((browser, n) =>
    Array.from({ length: 10 }, () => throttle.allow('a@example.com', `203.0.113.${n}`, browser)),
  )
  assert.equal(tries.filter(Boolean).length, 40, 'by browsers, then like strangers')
  assert.equal(throttle.allow('b@example.com', '192.0.2.1', 'another'), true)
})

test('success in a known browser gives its attempt back to the others', () => {
  const throttle = createSignInThrottle({ now: () => 0, maxPerEmail: 20 })
  for (let n = 0; n < 60; n++) {
    assert.ok(throttle.allow('a@example.com', '192.0.2.1', `browser ${n % 3}`), `sign-in ${n}`)
    throttle.forget('a@example.com', '192.0.2.1', `browser ${n % 3}`)
  }
})

test('an address over its limit makes nobody’s count forgotten by asking for ever more e-mails', () => {
  const throttle = createSignInThrottle({ now: () => 0, maxPerAddress: 5, maxPerEmail: 3, maxEntries: 50 })
  for (const ip of ['192.0.2.1', '192.0.2.2', '192.0.2.3']) throttle.allow('a@example.com', ip)
  assert.equal(throttle.allow('a@example.com', '192.0.2.4'), false)
  for (let n = 0; n < 500; n++) throttle.allow(`${n}@example.com`, '203.0.113.1')
  assert.equal(throttle.allow('a@example.com', '192.0.2.5'), false)
})
