import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findPasswordProblem, hashPassword, verifyPassword } from './password.ts'

test('a password is known by its hash, which does not hold it, and differs each time', async () => {
  const [first, second] = await Promise.all([hashPassword('pässword one'), hashPassword('pässword one')])
  assert.notEqual(first, second)
  assert.match(first, /^scrypt\$32768\$8\$3\$/)
  assert.ok(!first.includes('one'))
  assert.equal(await verifyPassword('pässword one'.normalize('NFD'), first), true)
  assert.equal(await verifyPassword('pässword two', first), false)
})

test('without a usable hash the answer is no, after the same work', async () => {
  for (const stored of [undefined, 'plain', 'scrypt$32768$8$3$c2FsdA$aGFzaA'])
    assert.equal(await verifyPassword('anything', stored), false)
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
