import assert from 'node:assert/strict'
import { test } from 'node:test'
import { closeInReverse } from '@sluice/test-env'
import { buildApp } from '../src/app.ts'
import { createSignInThrottle } from '../src/sign-in-throttle.ts'
import { adminPassword, startAccounts } from './start-accounts.ts'

test('signing in', async t => {
  let aheadMs = 0
  const now = () => Date.now() + aheadMs
  const { deps } = await startAccounts(closeInReverse(t), { now })
  const app = buildApp({ ...deps, throttle: createSignInThrottle({ now, maxAttempts: 3 }) })
  t.after(() => app.close())
  const signIn = (email: string, password: string, from: { client?: string; peer?: string; app?: typeof app } = {}) =>
    (from.app ?? app).inject({
      method: 'POST',
      url: '/accounts/sign-in',
      payload: { email, password },
      remoteAddress: from.peer ?? '127.0.0.1',
      headers: from.client === undefined ? {} : { 'x-forwarded-for': from.client },
    })

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

  await t.test('bad tries from one address lock the administrator out from there alone', async () => {
    const email = 'admin@example.com'
    for (let attempt = 0; attempt < 3; attempt++) await signIn(email, 'wrong password', { client: '203.0.113.7' })
    assert.equal((await signIn(email, adminPassword, { client: '203.0.113.7' })).statusCode, 429)
    assert.equal((await signIn(email, adminPassword, { client: '198.51.100.1' })).statusCode, 200)
  })

  await t.test(
    'strangers everywhere do not lock somebody out of the browser, or the address, that they signed in from before',
    async () => {
      const throttle = createSignInThrottle({ now, maxPerEmail: 20 })
      const open = buildApp({ ...deps, throttle })
      t.after(() => open.close())
      const browse = (password: string, client: string, cookie?: string, email = 'admin@example.com') =>
        open.inject({
          method: 'POST',
          url: '/accounts/session',
          payload: { email, password },
          headers: { 'x-forwarded-for': client, ...(cookie === undefined ? {} : { cookie }) },
        })
      const home = await browse(adminPassword, '198.51.100.7')
      const device = [home.headers['set-cookie'] ?? []].flat().find(text => text.startsWith('sluice_device='))
      const cookie = device?.split(';')[0] ?? ''
      assert.match(device ?? '', /HttpOnly; SameSite=Lax|SameSite=Lax.*HttpOnly|HttpOnly.*SameSite=Lax/i)
      for (let n = 0; n < 40; n++) await browse('wrong password', `203.0.113.${n}`)

      const from = async (client: string, sent?: string, password = adminPassword) =>
        (await browse(password, client, sent)).statusCode
      assert.equal(await from('192.0.2.50'), 429, 'anywhere else')
      assert.equal(await from('198.51.100.7'), 200, 'from the address of the last success')
      assert.equal(await from('192.0.2.50', cookie), 200, 'in the browser they signed in from')
      for (const forged of [`${cookie}x`, 'sluice_device=', `sluice_device=${'a'.repeat(2_000)}`])
        assert.equal(await from('192.0.2.51', forged), 429, forged.slice(0, 40))
      assert.equal((await browse('x', '192.0.2.52', cookie, 'other@example.com')).statusCode, 401, 'of somebody else')

      // Whoever has the cookie has ten attempts like everybody.
      const statuses = []
      for (let n = 0; n < 11; n++) statuses.push(await from(`192.0.2.${100 + n}`, cookie, 'wrong password'))
      assert.deepEqual([statuses.indexOf(429), await from('192.0.2.53', cookie)], [10, 429])
    },
  )

  await t.test('only a gateway on this machine says where a request came from', async () => {
    const email = 'somebody@example.com'
    const statuses: number[] = []
    for (const client of ['203.0.113.1', '203.0.113.2', '203.0.113.3', '203.0.113.4'])
      statuses.push((await signIn(email, 'wrong password', { client, peer: '192.0.2.9' })).statusCode)
    assert.deepEqual(statuses, [401, 401, 401, 429])
  })

  await t.test('clients of a trusted gateway in another container are throttled each on their own', async () => {
    const throttle = createSignInThrottle({ now, maxPerAddress: 2 })
    const contained = buildApp({ ...deps, throttle, trustedProxies: ['172.16.0.0/12'] })
    t.after(() => contained.close())
    const tryFrom = async (client: string, email: string) =>
      (await signIn(email, 'wrong password', { client, peer: '172.18.0.5', app: contained })).statusCode
    const statuses = []
    for (const email of ['a@example.com', 'b@example.com', 'c@example.com'])
      statuses.push(await tryFrom('203.0.113.20', email))
    assert.deepEqual(statuses, [401, 401, 429])
    assert.equal(await tryFrom('203.0.113.21', 'd@example.com'), 401)
  })
})
