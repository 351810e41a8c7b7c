import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sized } from '@sluice/test-env/test-size'
import { findPasswordProblem, hashPassword, passwordCost, verifyPassword } from './password.ts'

/** Of a hash that is compared with only to differ. */
const cost = sized({ small: { ...passwordCost, N: 2 ** 10 }, full: passwordCost })

test('a password is known by its hash, which does not hold it, and differs each time', async () => {
  const [first, second] = await Promise.all([hashPassword('pässword one'), hashPassword('pässword one', cost)])
  for (const at of [4, 5]) assert.notEqual(first.split('$')[at], second.split('$')[at])
  assert.match(first, /^scrypt\$32768\$8\$3\$/)
  assert.ok(!first.includes('one'))
  assert.equal(await verifyPassword('pässword one'.normalize('NFD'), first), true)
  assert.equal(await verifyPassword('pässword one', second), true)
  assert.equal(await verifyPassword('pässword two', second), false)
})

test('without a usable hash the answer is no, after the same work', async () => {
  for (const stored of [undefined, 'plain', 'scrypt$32768$8$3$c2FsdA$aGFzaA'])
    assert.equal(await verifyPassword('anything', stored, cost), false)
})

test('samples, short and empty passwords are no administrator’s', () => {
  for (const password of [
    undefined,
    '',
    'a1b2c3d',
    'changeme',
    'Password123!',
    'sluice-admin',
    'admin@admin',
    '0123456789',
  ])
    assert.ok(findPasswordProblem(password), String(password))
  for (const password of ['v7Qm-2kd_9xTz', 'correct horse battery staple', 'пароль длинный', 'sluice keeps the gate'])
    assert.equal(findPasswordProblem(password), undefined)
})
