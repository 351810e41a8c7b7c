import assert from 'node:assert/strict'
import { test } from 'node:test'
import { buildApp } from '../src/app.ts'
import { createSignInThrottle } from '../src/sign-in-throttle.ts'
import { adminPassword, closeInReverse, startAccounts } from './start-accounts.ts'

test('signing in', async t => {
  let aheadMs = 0
  const now = () => Date.now() + aheadMs
  const { deps } = await startAccounts(closeInReverse(t), { now })
  const app = buildApp({ ...deps, throttle: createSignInThrottle({ now, maxAttempts: 3 }) })
  t.after(() => app.close())
  const signIn = (email: string, password: string) =>
    app.inject({ method: 'POST', url: '/accounts/sign-in', payload: { email, password } })

  await t.test('a password brings a session that works until it ends', async () => {
    const answer = await signIn('ADMIN@example.com', adminPassword)
    const { access_token, token_type, expires_in, member_id } = answer.json()
    assert.deepEqual([token_type, expires_in], ['Bearer', 43_200])
    const whoami = () => app.inject({ url: '/accounts/whoami', headers: { authorization: `Bearer ${access_token}` } })
    assert.equal((await whoami()).json().id, member_id)
    aheadMs = 43_200_000
    assert.equal((await whoami()).statusCode, 401)
    aheadMs = 0
    const headers = { authorization: `Bearer ${access_token}` }
    assert.equal((await app.inject({ method: 'POST', url: '/accounts/sign-out', headers })).statusCode, 204)
    assert.equal((await whoami()).statusCode, 401)
  })

  await t.test('an unknown e-mail and a wrong password answer alike', async () => {
    const answerOf = async (email: string) => {
      const answer = await signIn(email, 'wrong password')
      const { code, message } = answer.json().error
      return [answer.statusCode, code, message]
    }
    const wrong = await answerOf('admin@example.com')
    assert.equal(wrong[0], 401)
    assert.deepEqual(await answerOf('nobody@example.com'), wrong)
  })

  await t.test('attempts are throttled per e-mail, also where nobody has it and the password is right', async () => {
    const tries = async (email: string, password: string) => {
      const answers = await Promise.all([1, 2, 3, 4].map(() => signIn(email, password)))
      return answers.map(answer => answer.statusCode).sort()
    }
    assert.deepEqual(await tries('someone@example.com', 'wrong password'), [401, 401, 401, 429])
    await tries('admin@example.com', 'wrong password')
    assert.equal((await signIn('admin@example.com', adminPassword)).statusCode, 429)
    aheadMs = 16 * 60_000
    assert.equal((await signIn('admin@example.com', adminPassword)).statusCode, 200)
  })
})
