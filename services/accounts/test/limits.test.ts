import assert from 'node:assert/strict'
import { test } from 'node:test'
import { closeInReverse } from '@sluice/test-env'
import { buildApp } from '../src/app.ts'
import { createChanges } from '../src/change-store.ts'
import { defaultLimits, type Limited, Limits } from '../src/limits.ts'
import { signInAs, startAccounts } from './start-accounts.ts'

test('one more than the operator allows is refused, with the limit and what to do; room that was made is used', async t => {
  const scope = closeInReverse(t)
  const { db, deps, installation } = await startAccounts(scope)
  const headers = { authorization: `Bearer ${await signInAs(db, installation.member_id)}` }
  const sizes = Object.fromEntries(Object.keys(defaultLimits).map(kind => [kind, 3])) as Record<Limited, number>
  const limits = new Limits({ ...sizes, projectsOfMember: 2 })
  const app = buildApp({ ...deps, changes: createChanges({ db: deps.db, now: deps.now, limits }) })
  scope.after(() => app.close())
  const call = async (method: 'POST' | 'PUT' | 'DELETE', url: string, payload?: object) => {
    const answer = await app.inject({ method, url, headers, ...(payload && { payload }) })
    return { status: answer.statusCode, body: answer.body === '' ? {} : answer.json() }
  }
  const newProject = async (name: string): Promise<string> =>
    `/accounts/projects/${(await call('POST', '/accounts/projects', { name })).body.id}`
  const project = await newProject('small')
  let made = 0
  const makers = {
    keys: ['/api-keys', () => ({ name: 'x' }), 'ACCOUNTS_MAX_KEYS'],
    rooms: ['/rooms', () => ({ name: `room-${made}` }), 'ACCOUNTS_MAX_ROOMS'],
    teams: ['/teams', () => ({ name: `team ${made}` }), 'ACCOUNTS_MAX_TEAMS'],
    serviceAccounts: ['/service-accounts', () => ({ name: `bot-${made}` }), 'ACCOUNTS_MAX_SERVICE_ACCOUNTS'],
    members: ['/users', () => ({ email: `m${made}@example.com`, roles: ['member'] }), 'ACCOUNTS_MAX_MEMBERS'],
    integrations: [
      '/integrations',
      () => ({ name: `i ${made}`, provider: 'openai', api_key: 'sk-0123456789abcdef', standby: true }),
      'ACCOUNTS_MAX_INTEGRATIONS',
    ],
  } as const
  for (const [kind, [path, body, variable]] of Object.entries(makers))
    await t.test(kind, async () => {
      const make = () => {
        made++
        return call('POST', `${project}${path}`, body())
      }
      const answers = []
      do answers.push(await make())
      while (answers.at(-1)?.status === 200 && answers.length < 5)
      const refused = answers.at(-1)
      assert.equal(refused?.status, 409, JSON.stringify(answers))
      assert.equal(refused.body.error.code, 'limit_reached')
      assert.match(refused.body.error.message, new RegExp(`at most 3 .*${variable}`))
      // The project may have begun with one.
      assert.ok(answers.length === 4 || answers.length === 3, `${answers.length}`)
      const { id, name, user_id = id } = answers[0]?.body ?? {}
      const removed = await call('DELETE', `${project}${path}/${kind === 'rooms' ? name : user_id}`)
      assert.ok(removed.status < 300, JSON.stringify(removed))
      assert.equal((await make()).status, 200)
      assert.equal((await make()).status, 409)
    })

  await t.test('somebody has roles of their own in so many projects, which their sessions name', async () => {
    const [first, second] = [await newProject('a'), await newProject('b')]
    const { body } = await call('POST', `${first}/users`, { email: 'many@example.com', roles: ['member'] })
    const join = (path: string) => call('POST', `${path}/users`, { user_id: body.user_id, roles: ['member'] })
    assert.equal((await join(second)).status, 200)
    const refused = await join(await newProject('c'))
    assert.equal(refused.status, 409)
    assert.match(refused.body.error.message, /at most 2 projects.*ACCOUNTS_MAX_PROJECTS_OF_MEMBER/)
  })
})

test('a limit is never passed, by as many as ten instances that count now and then', async () => {
  const size = 1_000
  const instances = Array.from({ length: 10 }, () => new Limits({ ...defaultLimits, keys: size }))
  let made = 0
  let counts = 0
  const count = async () => {
    counts++
    return made
  }
  let refusals = 0
  for (let n = 0; n < 3_000; n++)
    await instances[n % 10]?.requireRoom('keys', 'p', count).then(
      () => made++,
      () => refusals++,
    )
  assert.equal(made, size)
  assert.equal(refusals, 2_000)
  assert.ok(counts < 2_000 + 600, `${counts}`)
})
