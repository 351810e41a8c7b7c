import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hashCredential } from '@sluice/runtime'
import { closeInReverse } from '@sluice/test-env'
import { parseSetCookie } from 'cookie'
import { buildApp } from '../src/app.ts'
import { createSignInThrottle } from '../src/sign-in-throttle.ts'
import { addAccount, addMember, adminPassword, signInAs, startAccounts } from './start-accounts.ts'

type Headers = Record<string, string>

test('browsers and passwords', async t => {
  const { deps, db, installation } = await startAccounts(closeInReverse(t))
  const apps = ['http://127.0.0.1:8080', 'https://sluice.example.com'].map(publicUrl =>
    buildApp({ ...deps, publicUrl, throttle: createSignInThrottle({ now: deps.now, maxPerAddress: 1_000 }) }),
  )
  const [app, secure] = apps
  assert.ok(app && secure)
  for (const each of apps) t.after(() => each.close())
  const asAdmin = { authorization: `Bearer ${await signInAs(db, installation.member_id)}` }

  const signIn = async (to = app, headers: Headers = {}, password = adminPassword, email = 'admin@example.com') => {
    const answer = await to.inject({ method: 'POST', url: '/accounts/session', headers, payload: { email, password } })
    const [setCookie] = [answer.headers['set-cookie'] ?? []].flat()
    const cookie = setCookie === undefined ? undefined : parseSetCookie(setCookie)
    return { answer, cookie, asCookie: { cookie: `${cookie?.name}=${cookie?.value}` }, csrf: answer.json().csrf_token }
  }
  const whoami = async (headers: Headers, of = app) =>
    (await of.inject({ url: '/accounts/whoami', headers })).statusCode
  const makeProject = (headers: Headers, of = app) =>
    of.inject({ method: 'POST', url: '/accounts/projects', headers, payload: { name: 'made' } })

  await t.test('a browser’s session stands in a cookie that no script reads, and in no answer', async () => {
    for (const [to, name, isSecure] of [
      [app, 'sluice_session', undefined],
      [secure, '__Host-sluice_session', true],
    ] as const) {
      const { answer, cookie, asCookie } = await signIn(to)
      assert.equal(answer.statusCode, 200)
      assert.equal(cookie?.name, name)
      assert.deepEqual(
        [cookie.httpOnly, cookie.secure, cookie.sameSite, cookie.path, cookie.domain, cookie.maxAge],
        [true, isSecure, 'lax', '/', undefined, 43_200],
      )
      assert.ok(cookie.value && !answer.body.includes(cookie.value))
      assert.equal(await whoami(asCookie, to), 200)
      const { csrf_token, member_id } = (await to.inject({ url: '/accounts/session', headers: asCookie })).json()
      assert.deepEqual([csrf_token, member_id], [answer.json().csrf_token, installation.member_id])
    }
  })

  await t.test(
    'a change by cookie needs the CSRF token of that session, and no page of another site behind it',
    async () => {
      const { asCookie, csrf } = await signIn()
      const other = await signIn()
      for (const [what, headers] of Object.entries<Headers>({
        'no token': asCookie,
        'an empty token': { ...asCookie, 'x-csrf-token': '' },
        'another session’s token': { ...asCookie, 'x-csrf-token': other.csrf },
        'the cookie itself': { ...asCookie, 'x-csrf-token': asCookie.cookie },
        'a page of another site': { ...asCookie, 'x-csrf-token': csrf, 'sec-fetch-site': 'cross-site' },
        'a page of a neighbour': { ...asCookie, 'x-csrf-token': csrf, 'sec-fetch-site': 'same-site' },
      })) {
        const answer = await makeProject(headers)
        assert.deepEqual([answer.statusCode, answer.json().error.code], [403, 'csrf_refused'], what)
      }
      assert.equal(
        (await makeProject({ ...asCookie, 'x-csrf-token': csrf, 'sec-fetch-site': 'same-origin' })).statusCode,
        200,
      )
      assert.equal((await makeProject({ ...asCookie, 'x-csrf-token': csrf })).statusCode, 200)
      assert.equal((await makeProject({ ...asCookie, ...asAdmin })).statusCode, 200, 'a bearer needs none')
      assert.equal(await whoami({ ...asCookie, authorization: 'Bearer st_wrong-one' }), 401, 'and counts alone')
    },
  )

  await t.test(
    'a session is good only where it was made for: no bearer in a cookie, no cookie as a bearer',
    async () => {
      const { cookie } = await signIn()
      const bearer = asAdmin.authorization.slice(7)
      assert.equal(await whoami({ authorization: `Bearer ${cookie?.value}` }), 401)
      assert.equal(await whoami({ cookie: `sluice_session=${bearer}` }), 401)
      // As a neighbour domain could plant it beside the one that only this host sets.
      assert.equal(await whoami({ cookie: `__Host-sluice_session=${cookie?.value}` }), 401)
      assert.equal(await whoami({ cookie: `sluice_session=${(await signIn(secure)).cookie?.value}` }), 401)
    },
  )

  await t.test('signing in anew leaves no session behind, and another site signs nobody in', async () => {
    const first = await signIn()
    const second = await signIn(app, first.asCookie)
    assert.notEqual(second.cookie?.value, first.cookie?.value)
    assert.deepEqual([await whoami(first.asCookie), await whoami(second.asCookie)], [401, 200])
    const planted = 'sc_planted-by-somebody-else'
    const third = await signIn(app, { cookie: `sluice_session=${planted}` })
    assert.notEqual(third.cookie?.value, planted)
    assert.equal((await signIn(app, { 'sec-fetch-site': 'cross-site' })).answer.statusCode, 403)
  })

  await t.test('signing out ends the session and takes the cookie away', async () => {
    const { asCookie, csrf } = await signIn()
    const headers = { ...asCookie, 'x-csrf-token': csrf }
    const answer = await app.inject({ method: 'DELETE', url: '/accounts/session', headers })
    assert.equal(answer.statusCode, 204)
    const cleared = parseSetCookie(String(answer.headers['set-cookie']))
    assert.deepEqual([cleared?.name, cleared?.value, cleared?.maxAge], ['sluice_session', '', 0])
    assert.equal(await whoami(asCookie), 401)
  })

  const linkFor = (memberId: string, headers: Headers = asAdmin) =>
    app.inject({ method: 'POST', url: `/accounts/members/${memberId}/password-link`, headers })
  const useLink = (token: string, new_password: string) =>
    app.inject({ method: 'POST', url: '/accounts/password', payload: { token, new_password } })
  const emailOf = (memberId: string) => `${memberId}@example.com`

  await t.test('a member without a password gets one by a link, once', async () => {
    const { account_id, project_id } = installation
    const { memberId, token: session } = await addMember(db, account_id, project_id, 'member')
    assert.equal((await signIn(app, {}, '', emailOf(memberId))).answer.statusCode, 400)
    assert.equal((await signIn(app, {}, 'a long enough one', emailOf(memberId))).answer.statusCode, 401)
    const replaced = (await linkFor(memberId)).json().token
    const once = { ...asAdmin, 'idempotency-key': 'link-1' }
    const { token, expires_at } = (await linkFor(memberId, once)).json()
    assert.deepEqual((await linkFor(memberId, once)).json(), { token, expires_at }, 'asked again, it is the same one')
    assert.ok(Date.parse(expires_at) > Date.now() + 71 * 3_600_000)
    const stored = JSON.stringify(await db.selectFrom('password_links').selectAll().execute())
    assert.ok(!stored.includes(token) && stored.includes(hashCredential(token)))
    for (const weak of ['short', 'password123', 'x'.repeat(257)])
      assert.equal((await useLink(token, weak)).statusCode, 400)
    assert.equal((await useLink(replaced, 'a long enough one')).json().error.code, 'invalid_link')
    const both = await Promise.all([useLink(token, 'a long enough one'), useLink(token, 'a long enough one')])
    assert.deepEqual(both.map(({ statusCode }) => statusCode).sort(), [204, 400])
    assert.equal((await useLink(token, 'another long one')).json().error.code, 'invalid_link')
    assert.equal((await signIn(app, {}, 'a long enough one', emailOf(memberId))).answer.statusCode, 200)
    assert.equal(await whoami({ authorization: `Bearer ${session}` }), 401, 'sessions from before have ended')
    const { rows } = await db
      .selectFrom('audit_entries')
      .select(['action', 'actor_id'])
      .where('target', '=', memberId)
      .where('action', 'like', 'member.password%')
      .execute()
      .then(rows => ({ rows }))
    assert.deepEqual(
      rows.map(({ action, actor_id }) => [action, actor_id]),
      [
        ['member.password-link-made', installation.member_id],
        ['member.password-link-made', installation.member_id],
        ['member.password-changed', memberId],
      ],
    )
  })

  await t.test('whoever changes their password shuts out who holds a link for it', async () => {
    const { account_id, project_id } = installation
    const { memberId } = await addMember(db, account_id, project_id, 'member')
    const first = (await linkFor(memberId)).json().token
    assert.equal((await useLink(first, 'a long enough one')).statusCode, 204)
    const kept = (await linkFor(memberId)).json().token
    const { asCookie, csrf } = await signIn(app, {}, 'a long enough one', emailOf(memberId))
    const change = await app.inject({
      method: 'PUT',
      url: '/accounts/profiles/me/password',
      headers: { ...asCookie, 'x-csrf-token': csrf },
      payload: { current_password: 'a long enough one', new_password: 'a better long one' },
    })
    assert.equal(change.statusCode, 204, change.body)
    assert.equal((await useLink(kept, 'a third long one')).json().error.code, 'invalid_link')
    assert.equal((await signIn(app, {}, 'a better long one', emailOf(memberId))).answer.statusCode, 200)
  })

  await t.test('links are made by an administrator of the account, for its members alone', async () => {
    const { account_id, project_id } = installation
    const { memberId, token } = await addMember(db, account_id, project_id, 'admin')
    const stranger = await addAccount(deps)
    assert.equal((await linkFor(memberId, { authorization: `Bearer ${token}` })).statusCode, 403)
    assert.equal((await linkFor(stranger.memberId)).statusCode, 404)
    assert.equal((await linkFor('mem_none')).statusCode, 404)
    const { token: link } = (await linkFor(memberId)).json()
    await db.updateTable('members').set({ disabled_at: new Date() }).where('member_id', '=', memberId).execute()
    assert.equal((await useLink(link, 'a long enough one')).json().error.code, 'invalid_link', 'of who is disabled')
  })

  await t.test('a link sets no password of somebody who has risen since, nor for who may make it no more', async () => {
    const { account_id, project_id } = installation
    const rightsOf = async (memberId: string, rights: Record<string, boolean>) => {
      const answer = await app.inject({
        method: 'PUT',
        url: `/accounts/members/${memberId}`,
        headers: asAdmin,
        payload: { account_admin: false, operator: false, disabled: false, ...rights },
      })
      assert.equal(answer.statusCode, 200, answer.body)
    }
    const maker = await addMember(db, account_id, project_id, 'admin')
    await rightsOf(maker.memberId, { account_admin: true })
    const makeLink = async (): Promise<{ memberId: string; link: string }> => {
      const { memberId } = await addMember(db, account_id, project_id, 'member')
      const answer = await linkFor(memberId, { authorization: `Bearer ${maker.token}` })
      assert.equal(answer.statusCode, 200, answer.body)
      return { memberId, link: answer.json().token }
    }
    for (const rights of [{ operator: true }, { account_admin: true }, { disabled: true }]) {
      const { memberId, link } = await makeLink()
      await rightsOf(memberId, rights)
      // Coming back does not bring the link back.
      await rightsOf(memberId, {})
      assert.equal(
        (await useLink(link, 'a long enough one')).json().error?.code,
        'invalid_link',
        JSON.stringify(rights),
      )
    }
    const { link } = await makeLink()
    const { link: kept } = await makeLink()
    await rightsOf(maker.memberId, {})
    assert.equal((await useLink(link, 'a long enough one')).statusCode, 400, 'its maker was demoted')
    await rightsOf(maker.memberId, { account_admin: true })
    assert.equal((await useLink(kept, 'a long enough one')).statusCode, 204)
  })

  await t.test('who knows the password changes it, and their other sessions end', async () => {
    const { account_id, project_id } = installation
    const { memberId } = await addMember(db, account_id, project_id, 'member')
    await useLink((await linkFor(memberId)).json().token, 'the first good one')
    const [here, elsewhere] = [
      await signIn(app, {}, 'the first good one', emailOf(memberId)),
      await signIn(app, {}, 'the first good one', emailOf(memberId)),
    ]
    const change = (current_password: string, new_password: string) =>
      app.inject({
        method: 'PUT',
        url: '/accounts/profiles/me/password',
        headers: { ...here.asCookie, 'x-csrf-token': here.csrf },
        payload: { current_password, new_password },
      })
    assert.equal((await change('not the one', 'the second good one')).statusCode, 401)
    assert.equal((await change('the first good one', 'changeme1')).statusCode, 400)
    assert.equal((await change('the first good one', 'the second good one')).statusCode, 204)
    assert.deepEqual([await whoami(here.asCookie), await whoami(elsewhere.asCookie)], [200, 401])
    assert.equal((await signIn(app, {}, 'the first good one', emailOf(memberId))).answer.statusCode, 401)
    assert.equal((await signIn(app, {}, 'the second good one', emailOf(memberId))).answer.statusCode, 200)
  })
})
