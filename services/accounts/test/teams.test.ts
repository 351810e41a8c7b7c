import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hashCredential } from '@sluice/runtime'
import { closeInReverse } from '@sluice/test-env'
import { sql } from 'kysely'
import { readKeyDocuments } from '../src/api-key-store.ts'
import { createChanges } from '../src/change-store.ts'
import { closeTeam } from '../src/change-team.ts'
import { readProjectDocument } from '../src/project-store.ts'
import { findSession } from '../src/session-store.ts'
import { sweep } from '../src/sweep.ts'
import { addAccount, addMember, signInAs, startAccounts } from './start-accounts.ts'

const day = 86_400_000

test('teams', async t => {
  const scope = closeInReverse(t)
  let aheadMs = 0
  const { app, db, deps, installation } = await startAccounts(scope, { now: () => Date.now() + aheadMs })
  const { project_id: pid, account_id: accountId } = installation
  const adminToken = await signInAs(db, installation.member_id)
  const stranger = await addAccount(deps)
  const teams = `/accounts/projects/${pid}/teams`
  type Method = 'GET' | 'POST' | 'PUT' | 'DELETE'
  const call = async (method: Method, url: string, payload?: Record<string, unknown>, token = adminToken) => {
    const headers = { authorization: `Bearer ${token}` }
    const answer = await app.inject({ method, url, headers, ...(payload && { payload }) })
    return { status: answer.statusCode, body: answer.body === '' ? undefined : answer.json() }
  }
  const make = async (payload: Record<string, unknown>) => {
    const answer = await call('POST', teams, payload)
    assert.equal(answer.status, 200, JSON.stringify(answer.body))
    return answer.body as { id: string }
  }
  const ownerAndMembers = async (id: string, query = '') => {
    const { owner_id } = (await call('GET', `${teams}/${id}`)).body
    const { members } = (await call('GET', `${teams}/${id}/members${query}`)).body
    return { owner_id, members: members.map((member: { id: string; role: string }) => [member.id, member.role]) }
  }

  await t.test('a team is what its last whole document says, and so is what gateways know', async () => {
    const { memberId } = await addMember(db, accountId, pid, 'member')
    const whole = {
      name: 'Platform',
      owner_id: memberId,
      cost_centre: '4711',
      allowed_models: ['openai/gpt-5*', 'anthropic/*'],
      seat_budget: { amount_nano_usd: 20_000_000_000, window: 'month', time_zone: 'Europe/Berlin', mode: 'hard' },
    }
    const { id } = await make(whole)
    const { created_at, ...read } = (await call('GET', `${teams}/${id}`)).body
    assert.ok(created_at)
    assert.deepEqual(read, { id, ...whole, closed_at: null })
    const documentOf = async () => (await readProjectDocument(db, pid)).teams.find(team => team.team_id === id)
    const { allowed_models, seat_budget } = whole
    assert.deepEqual(await documentOf(), {
      team_id: id,
      name: 'Platform',
      owner_member_id: memberId,
      allowed_models,
      seat_budget,
    })
    const changed = await call('PUT', `${teams}/${id}`, { name: 'Core' })
    assert.deepEqual(
      [changed.body.name, changed.body.owner_id, changed.body.cost_centre, changed.body.allowed_models],
      ['Core', null, null, null],
    )
    assert.deepEqual(await documentOf(), { team_id: id, name: 'Core' })
    assert.equal((await call('PUT', `${teams}/${id}`, { name: 'DEFAULT' })).status, 409)
    for (const body of [
      {},
      { name: ' ' },
      { name: 'x', budget: 1 },
      { name: 'x', allowed_models: ['gpt-5'] },
      { name: 'x', seat_budget: { amount_nano_usd: 0.5, window: 'month' } },
      { name: 'x', seat_budget: { amount_nano_usd: 5, window: 'year' } },
      { name: 'x', seat_budget: { amount_nano_usd: 5, window: 'day', time_zone: 'Mars/Olympus' } },
      { name: 'x', seat_budget: { amount_nano_usd: 5, window: 'day', mode: 'firm' } },
      { name: 'x', cost_centre: '' },
      { name: 'x', owner_id: stranger.memberId },
    ])
      assert.equal((await call('PUT', `${teams}/${id}`, body)).status, 400, JSON.stringify(body))
  })

  await t.test('what seats get is said by who may say what is spent, not by who manages teams alone', async () => {
    const { token } = await addMember(db, accountId, pid, 'member', ['team_manager'])
    const manager = (method: Method, url: string, payload: Record<string, unknown>) => call(method, url, payload, token)
    const seat_budget = { amount_nano_usd: 5, window: 'day' }
    const { id } = await make({ name: 'seats', seat_budget })
    const refused = async (answer: ReturnType<typeof manager>) => [
      (await answer).status,
      (await answer).body.error.code,
    ]
    assert.deepEqual(await refused(manager('POST', teams, { name: 'more', seat_budget })), [403, 'forbidden'])
    for (const wanted of [undefined, null, { ...seat_budget, amount_nano_usd: 6 }, { ...seat_budget, mode: 'alert' }])
      assert.deepEqual(
        await refused(manager('PUT', `${teams}/${id}`, { name: 'seats', seat_budget: wanted })),
        [403, 'forbidden'],
        JSON.stringify(wanted),
      )
    assert.equal((await manager('PUT', `${teams}/${id}`, { name: 'chairs', seat_budget })).status, 200)
    assert.equal((await manager('POST', teams, { name: 'none' })).status, 200)
  })

  await t.test('a team is allowed more models by who may say what is called, and fewer by who manages it', async () => {
    const { token } = await addMember(db, accountId, pid, 'member', ['team_manager'])
    const { id } = await make({ name: 'models', allowed_models: ['openai/*'] })
    const put = async (allowed_models: unknown, credential: string) =>
      (await call('PUT', `${teams}/${id}`, { name: 'models', allowed_models }, credential)).status
    for (const more of [null, undefined, ['*'], ['openai/*', 'anthropic/*']])
      assert.equal(await put(more, token), 403, JSON.stringify(more))
    assert.equal(await put(['openai/*'], token), 200, 'as it is')
    assert.equal(await put(['openai/gpt-5.4-mini'], token), 200)
    assert.equal(await put(['openai/*'], token), 403)
    assert.equal(await put(null, adminToken), 200)
  })

  await t.test('a team has one owner, and whoever was it stays in the team', async () => {
    const [{ memberId: first }, { memberId: second, token }] = [
      await addMember(db, accountId, pid, 'member'),
      await addMember(db, accountId, pid, 'member'),
    ]
    const { id } = await make({ name: 'owned', owner_id: first })
    await call('PUT', `${teams}/${id}/members/${second}`, { role: 'owner' })
    const now = await ownerAndMembers(id)
    assert.equal(now.owner_id, second)
    assert.deepEqual(
      now.members.toSorted(),
      [
        [first, 'member'],
        [second, 'owner'],
      ].toSorted(),
    )
    // Owners read what their team uses.
    const session = await findSession(db, hashCredential(token))
    assert.ok(session?.permissions?.[pid]?.includes('usage:read-team'))
    await call('PUT', `${teams}/${id}/members/${second}`, {})
    assert.equal((await ownerAndMembers(id)).owner_id, null)
    assert.ok(!(await findSession(db, hashCredential(token)))?.permissions?.[pid]?.includes('usage:read-team'))
  })

  await t.test('who was in a team when is kept, whoever comes and goes', async () => {
    const { memberId } = await addMember(db, accountId, pid, 'member')
    const { id } = await make({ name: 'history' })
    const at = () => new Date(Date.now() + aheadMs).toISOString()
    const before = at()
    aheadMs += day
    await call('PUT', `${teams}/${id}/members/${memberId}`, { role: 'member' })
    aheadMs += day
    const within = at()
    await call('PUT', `${teams}/${id}/members/${memberId}`, { role: 'owner' })
    aheadMs += day
    assert.equal((await call('DELETE', `${teams}/${id}/members/${memberId}`)).status, 204)
    aheadMs += day
    assert.equal((await call('DELETE', `${teams}/${id}/members/${memberId}`)).status, 404)
    assert.deepEqual((await ownerAndMembers(id, `?at=${before}`)).members, [])
    assert.deepEqual((await ownerAndMembers(id, `?at=${within}`)).members, [[memberId, 'member']])
    assert.deepEqual((await ownerAndMembers(id)).members, [])
    const { members } = (await call('GET', `${teams}/${id}/members?history=true`)).body
    assert.deepEqual(
      members.map((row: { role: string }) => row.role),
      ['member', 'owner'],
    )
    assert.equal(members[0].valid_to, members[1].valid_from)
    assert.equal((await call('GET', `${teams}/${id}/members?history=true&at=${within}`)).status, 400)
    aheadMs = 0
  })

  await t.test(
    'a membership begins and ends at its time, without a word from anybody, and gateways are told',
    async () => {
      const { memberId } = await addMember(db, accountId, pid, 'member')
      const { id } = await make({ name: 'planned' })
      const keys = `/accounts/projects/${pid}/api-keys`
      const { body: key } = await call('POST', keys, { name: 'own', member_id: memberId })
      const put = (body: Record<string, unknown>, who = memberId) => call('PUT', `${teams}/${id}/members/${who}`, body)
      const inDays = (days: number) => new Date(Date.now() + aheadMs + days * day).toISOString()
      /** The teams of the member as gateways have been told last, and how often they were told of their key. */
      const told = async () => {
        const { rows } = await sql<{
          payload: string
        }>`select payload from outbox where key = ${key.id} order by id`.execute(db)
        const documents = rows.map(({ payload }) => JSON.parse(payload))
        return { teams: documents.at(-1).member_team_ids as string[], times: documents.length }
      }
      const begin = inDays(2)
      assert.equal((await put({ valid_from: begin, valid_to: inDays(5) })).status, 200)
      const { times } = await told()
      assert.deepEqual(await ownerAndMembers(id), { owner_id: null, members: [] })
      assert.deepEqual((await ownerAndMembers(id, `?at=${inDays(3)}`)).members, [[memberId, 'member']])
      await sweep(deps.changes)
      assert.equal((await told()).times, times, 'nothing is due')
      aheadMs += 2 * day + 1_000
      await sweep(deps.changes)
      assert.deepEqual(await told(), { teams: [id], times: times + 1 })
      assert.deepEqual((await ownerAndMembers(id)).members, [[memberId, 'member']])
      const defaultTeam = async () =>
        (await call('GET', `/accounts/projects/${pid}/users/${memberId}`)).body.default_team_id
      assert.equal(await defaultTeam(), id, 'it pays from then on')
      await call('PUT', `/accounts/projects/${pid}/users/${memberId}/default-team`, { team_id: id })
      await sweep(deps.changes)
      assert.equal((await told()).times, times + 2, 'told once')
      // Its end is moved, and it is no default any more when it has come.
      assert.equal((await put({ valid_to: inDays(10) })).status, 200)
      aheadMs += 4 * day
      await sweep(deps.changes)
      assert.deepEqual((await told()).teams, [id])
      aheadMs += 7 * day
      await sweep(deps.changes)
      assert.deepEqual((await told()).teams, [])
      assert.equal(await defaultTeam(), null)
      const { members } = (await call('GET', `${teams}/${id}/members?history=true`)).body
      assert.deepEqual([members.length, members[0].valid_from], [1, begin])

      // What is planned is taken back by an order of now, and by leaving.
      await put({ valid_from: inDays(3) })
      await put({ valid_from: inDays(1), valid_to: inDays(2) })
      assert.equal((await call('GET', `${teams}/${id}/members?history=true`)).body.members.length, 2)
      assert.equal((await call('DELETE', `${teams}/${id}/members/${memberId}`)).status, 204)
      assert.equal((await call('DELETE', `${teams}/${id}/members/${memberId}`)).status, 404)
      await put({})
      await put({ valid_from: inDays(1), valid_to: inDays(2) })
      aheadMs += 3 * day
      await sweep(deps.changes)
      assert.deepEqual((await ownerAndMembers(id)).members, [])

      // An owner who is to be it no more from a day on is it until then.
      await put({ role: 'owner' })
      await put({ role: 'member', valid_from: inDays(1) })
      assert.equal((await ownerAndMembers(id)).owner_id, memberId)
      aheadMs += 2 * day
      await sweep(deps.changes)
      assert.deepEqual(await ownerAndMembers(id), { owner_id: null, members: [[memberId, 'member']] })
      for (const wrong of [
        { valid_from: inDays(-1) },
        { valid_to: inDays(-1) },
        { valid_from: inDays(2), valid_to: inDays(1) },
        { role: 'owner', valid_from: inDays(1) },
        { role: 'owner', valid_to: inDays(1) },
        { valid_from: 'tomorrow' },
      ])
        assert.equal((await put(wrong)).status, 400, JSON.stringify(wrong))
      assert.equal((await put({ valid_from: inDays(1) }, stranger.memberId)).status, 400)
      aheadMs = 0
    },
  )

  await t.test('what was planned in a project that was deleted holds up no other', async () => {
    const { body: gone } = await call('POST', '/accounts/projects', { name: 'gone' })
    const there = `/accounts/projects/${gone.id}/teams`
    const { body: team } = await call('POST', there, { name: 'planned there' })
    const { memberId } = await addMember(db, accountId, gone.id, 'member')
    const valid_from = new Date(Date.now() + day).toISOString()
    assert.equal((await call('PUT', `${there}/${team.id}/members/${memberId}`, { valid_from })).status, 200)
    assert.equal((await call('DELETE', `/accounts/projects/${gone.id}`)).status, 204)
    const { memberId: here } = await addMember(db, accountId, pid, 'member')
    const { id } = await make({ name: 'planned here' })
    await call('PUT', `${teams}/${id}/members/${here}`, { valid_from })
    aheadMs = 2 * day
    await sweep(deps.changes)
    assert.deepEqual((await ownerAndMembers(id)).members, [[here, 'member']])
    aheadMs = 0
  })

  await t.test('a cost centre holds from its day on, and nothing that was booked moves', async () => {
    const { id } = await make({ name: 'booked', cost_centre: 'A' })
    const plan = (cost_centre: string | null, inDays: number) =>
      call('POST', `${teams}/${id}/cost-centres`, {
        cost_centre,
        valid_from: new Date(Date.now() + aheadMs + inDays * day).toISOString(),
      })
    assert.equal((await plan('C', 20)).status, 200)
    assert.equal((await plan('B', 10)).status, 200)
    assert.equal((await plan('X', -1)).status, 400)
    const centres = async () => {
      const rows = (await call('GET', `${teams}/${id}/cost-centres`)).body.cost_centres
      rows.forEach((row: { valid_to: string | null }, index: number) => {
        assert.equal(row.valid_to, rows[index + 1]?.valid_from ?? null)
      })
      return rows.map((row: { cost_centre: string }) => row.cost_centre)
    }
    assert.deepEqual(await centres(), ['A', 'B', 'C'])
    const now = async () => (await call('GET', `${teams}/${id}`)).body.cost_centre
    assert.equal(await now(), 'A')
    aheadMs = 11 * day
    assert.equal(await now(), 'B')
    // A change of the team books it elsewhere from now on; what is planned stays planned.
    await call('PUT', `${teams}/${id}`, { name: 'booked', cost_centre: 'D' })
    assert.deepEqual(await centres(), ['A', 'B', 'D', 'C'])
    await call('PUT', `${teams}/${id}`, { name: 'renamed', cost_centre: 'D' })
    assert.deepEqual(await centres(), ['A', 'B', 'D', 'C'])
    const paged: string[] = []
    let token: string | null = ''
    do {
      const more: string = token === '' ? '' : `&continuation_token=${token}`
      const { body } = await call('GET', `${teams}/${id}/cost-centres?page_size=3${more}`)
      paged.push(...body.cost_centres.map((row: { cost_centre: string }) => row.cost_centre))
      token = body.continuation_token
    } while (token !== null)
    assert.deepEqual(paged, ['A', 'B', 'D', 'C'])
    const forged = Buffer.from(`cost-centres ${id}\nno time`).toString('base64url')
    assert.equal((await call('GET', `${teams}/${id}/cost-centres?continuation_token=${forged}`)).status, 400)
    aheadMs = 0
  })

  await t.test(
    'a closed team takes nobody and pays for nothing, its name is free, and what it was is kept',
    async () => {
      const { memberId } = await addMember(db, accountId, pid, 'member')
      const { id } = await make({ name: 'closing', cost_centre: 'A' })
      await call('PUT', `${teams}/${id}/members/${memberId}`, {})
      await call('PUT', `/accounts/projects/${pid}/users/${memberId}/default-team`, { team_id: id })
      const keys = `/accounts/projects/${pid}/api-keys`
      const { body: key } = await call('POST', keys, { name: 'ci', team_id: id })
      const inUse = await call('DELETE', `${teams}/${id}`)
      assert.deepEqual([inUse.status, inUse.body.error.code], [409, 'team_in_use'])
      await call('DELETE', `${keys}/${key.id}`)
      assert.equal((await call('DELETE', `${teams}/${id}`)).status, 204)
      assert.equal((await call('DELETE', `${teams}/${id}`)).status, 404)
      assert.equal((await call('POST', keys, { name: 'ci', team_id: id })).status, 400)
      assert.equal((await call('PUT', `${teams}/${id}/members/${memberId}`, {})).status, 404)
      assert.equal((await call('PUT', `${teams}/${id}`, { name: 'again' })).status, 404)
      assert.ok((await readProjectDocument(db, pid)).teams.every(team => team.team_id !== id))
      const { closed_at, name } = (await call('GET', `${teams}/${id}`)).body
      assert.deepEqual([typeof closed_at, name], ['string', 'closing'])
      assert.equal((await call('GET', `${teams}/${id}/members?history=true`)).body.members.length, 1)
      assert.notEqual((await make({ name: 'closing' })).id, id)
      const listed = async (query: string) =>
        (await call('GET', `${teams}?page_size=500${query}`)).body.teams.map((team: { id: string }) => team.id)
      assert.ok(!(await listed('')).includes(id))
      assert.ok((await listed('&closed=true')).includes(id))
    },
  )

  await t.test('a member’s keys know their teams and the one that pays where none is named', async () => {
    const { memberId, token } = await addMember(db, accountId, pid, 'member')
    const { body: key } = await call('POST', `/accounts/projects/${pid}/api-keys`, { name: 'own', member_id: memberId })
    const known = async () => {
      const [document] = await readKeyDocuments(db, [key.id])
      return [document?.member_team_ids, document?.member_default_team_id]
    }
    assert.deepEqual(await known(), [[], undefined])
    const [red, blue] = [(await make({ name: 'red' })).id, (await make({ name: 'blue' })).id]
    const join = (id: string) => call('PUT', `${teams}/${id}/members/${memberId}`, {})
    await join(red)
    assert.deepEqual(await known(), [[red], red], 'the first team pays')
    await join(blue)
    assert.deepEqual(await known(), [[red, blue].sort(), red])
    const choose = (team_id: string | null, credential: string) =>
      call('PUT', `/accounts/projects/${pid}/users/me/default-team`, { team_id }, credential)
    assert.equal((await choose(installation.team_id, token)).status, 400)
    assert.equal((await choose(blue, token)).status, 200)
    assert.deepEqual(await known(), [[red, blue].sort(), blue])
    const role = (await call('GET', `/accounts/projects/${pid}/role`, undefined, token)).body
    assert.deepEqual([role.team_ids, role.default_team_id], [[red, blue].sort(), blue])
    await call('DELETE', `${teams}/${blue}/members/${memberId}`)
    assert.deepEqual(await known(), [[red], red], 'another of theirs pays where one was left')
    const { memberId: other } = await addMember(db, accountId, pid, 'member')
    const url = `/accounts/projects/${pid}/users/${other}/default-team`
    assert.equal((await call('PUT', url, { team_id: null }, token)).status, 403)
    await call('DELETE', `/accounts/projects/${pid}/users/${memberId}`)
    assert.deepEqual(await known(), [[], undefined])
  })

  await t.test('nobody leaves what their teams allow them by a choice of their own', async () => {
    const { memberId, token } = await addMember(db, accountId, pid, 'member')
    const manager = await addMember(db, accountId, pid, 'member', ['team_manager'])
    const url = `/accounts/projects/${pid}/users/${memberId}/default-team`
    const choose = (team_id: string | null, credential: string) => call('PUT', url, { team_id }, credential)
    const current = async () => (await call('GET', `/accounts/projects/${pid}/users/${memberId}`)).body.default_team_id
    assert.equal((await choose(null, token)).status, 200, 'in no team there is nothing to leave')
    const [strict, loose] = [(await make({ name: 'strict' })).id, (await make({ name: 'loose' })).id]
    for (const id of [strict, loose]) await call('PUT', `${teams}/${id}/members/${memberId}`, {})
    const refused = await choose(null, token)
    assert.deepEqual([refused.status, refused.body.error.code], [403, 'forbidden'])
    assert.match(refused.body.error.message, /teams:write/)
    assert.equal((await choose(loose, token)).status, 200, 'which of their teams pays they say themselves')
    assert.equal(await current(), loose)
    assert.equal((await choose(null, manager.token)).status, 200)
    assert.equal(await current(), null)
    await call('PUT', `${teams}/${strict}/members/${memberId}`, { role: 'owner' })
    assert.equal(await current(), null, 'they were in it, and who manages teams has said that none pays')
    const { id: owned } = await make({ name: 'owned anew', owner_id: memberId })
    assert.equal(await current(), owned)
    assert.equal((await call('DELETE', `${teams}/${owned}`)).status, 204)
    assert.ok([strict, loose].includes(await current()), 'a team that is closed leaves its place to another of theirs')
  })

  await t.test('a team of many closes in as many statements as one of few, and all of them are announced', async () => {
    const closed = async (name: string, size: number) => {
      const { id } = await make({ name })
      const people = await Promise.all(Array.from({ length: size }, () => addMember(db, accountId, pid, 'member')))
      const keyIds: string[] = []
      for (const { memberId } of people) {
        const { body } = await call('POST', `/accounts/projects/${pid}/api-keys`, { name, member_id: memberId })
        keyIds.push(body.id)
        await call('PUT', `${teams}/${id}/members/${memberId}`, {})
      }
      await sql`delete from outbox`.execute(db)
      let statements = 0
      const counted = deps.db.withPlugin({
        transformQuery: ({ node }) => {
          statements++
          return node
        },
        transformResult: async ({ result }) => result,
      })
      const actor = { kind: 'operator', id: 'test', accountId } as const
      await createChanges({ db: counted, now: deps.now }).make(actor, change => closeTeam(change, pid, id))
      const { rows } = await sql<{ target: string; key: string }>`select target, key from outbox`.execute(db)
      const announced = (target: string) => rows.filter(row => row.target === target).map(row => row.key)
      assert.deepEqual(announced('keys').sort(), keyIds.sort())
      assert.deepEqual(announced('sessions').sort(), people.map(({ token }) => hashCredential(token)).sort())
      for (const document of await readKeyDocuments(db, keyIds)) assert.deepEqual(document.member_team_ids, [])
      return statements
    }
    const few = await closed('few', 1)
    assert.ok(few > 5, `${few} statements were counted`)
    assert.equal(await closed('many', 7), few)
  })

  await t.test('lists come in pages', async () => {
    const whole = (await call('GET', `${teams}?page_size=500&closed=true`)).body.teams
    const read: unknown[] = []
    let token: string | null = null
    do {
      const more: string = token ? `&continuation_token=${token}` : ''
      const page = (await call('GET', `${teams}?page_size=3&closed=true${more}`)).body
      read.push(...page.teams)
      token = page.continuation_token
    } while (token)
    assert.deepEqual(read, whole)
  })

  await t.test('teams and people of another project are none here', async () => {
    const theirs = `/accounts/projects/${stranger.projectId}/teams`
    const { body: team } = await call('POST', theirs, { name: 'theirs' }, stranger.apiKey)
    const { memberId } = await addMember(db, accountId, pid, 'member')
    const at = `${teams}/${team.id}`
    const rows: [Method, string, Record<string, unknown>?][] = [
      ['GET', at],
      ['PUT', at, { name: 'mine' }],
      ['DELETE', at],
      ['GET', `${at}/members`],
      ['PUT', `${at}/members/${memberId}`, {}],
      ['DELETE', `${at}/members/${memberId}`],
      ['GET', `${at}/cost-centres`],
      ['POST', `${at}/cost-centres`, { cost_centre: 'mine' }],
    ]
    for (const [method, url, body] of rows)
      assert.equal((await call(method, url, body)).status, 404, `${method} ${url}`)
    const { id } = await make({ name: 'mine' })
    assert.equal((await call('PUT', `${teams}/${id}/members/${stranger.memberId}`, {})).status, 400)
    const untouched = (await call('GET', `${theirs}/${team.id}`, undefined, stranger.apiKey)).body
    assert.deepEqual([untouched.name, untouched.closed_at], ['theirs', null])
  })
})
