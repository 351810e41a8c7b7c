import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Bundle, bundles, permissionsOf, type Role, rolePermissions } from '@sluice/contracts'
import { closeInReverse } from '@sluice/test-env'
import { addMember, signInAs, startAccounts } from './start-accounts.ts'

/** Mulberry32: the same sequence for the same seed. */
function randomFrom(seed: number) {
  let state = seed
  const next = () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  return {
    below: (limit: number) => Math.floor(next() * limit),
    pick: <Item>(items: readonly Item[]): Item => {
      const item = items[Math.floor(next() * items.length)]
      if (item === undefined) throw new Error('nothing to pick from')
      return item
    },
  }
}

interface Answer {
  status: number
  body: Record<string, unknown> & { value?: unknown; user_id?: unknown; id?: unknown }
}

test('no sequence of calls brings anybody, their keys and the people they add beyond what they hold', async t => {
  const { app, db, installation } = await startAccounts(closeInReverse(t))
  const { project_id: pid, account_id: accountId, member_id: adminId, key_id: adminKeyId } = installation
  const project = `/accounts/projects/${pid}`
  const call = async (
    token: string,
    method: 'GET' | 'POST' | 'PUT' | 'DELETE',
    url: string,
    payload?: object,
  ): Promise<Answer> => {
    const answer = await app.inject({
      method,
      url,
      headers: { authorization: `Bearer ${token}` },
      ...(payload && { payload }),
    })
    assert.ok(answer.statusCode < 500, `${method} ${url}: ${answer.body}`)
    return { status: answer.statusCode, body: answer.body === '' ? {} : answer.json() }
  }
  const permissionsWith = async (token: string): Promise<string[]> => {
    const { status, body } = await call(token, 'GET', `${project}/role`)
    return status === 200 ? (body.permissions as string[]) : []
  }
  const bystander = await addMember(db, accountId, pid, 'admin')
  const names = [...(Object.keys(rolePermissions) as Role[]), ...bundles]
  const profiles: [Role, Bundle[]][] = [
    ['member', ['member_manager']],
    ['developer', ['key_manager', 'llm_proxy_user']],
    ['member', ['team_manager', 'integration_manager', 'model_manager', 'budget_manager', 'billing_manager']],
    ['member', ['member_manager', 'key_manager', 'team_manager', 'llm_proxy_user']],
    ['developer', bundles.filter(bundle => bundle !== 'auditor')],
  ]
  let done = 0

  for (const [index, [role, given]] of profiles.entries())
    await t.test(`${role} with ${given.join(', ')}`, async () => {
      const random = randomFrom(index + 1)
      const self = await addMember(db, accountId, pid, role, given)
      const ceiling: readonly string[] = permissionsOf(role, given)
      const credentials = [self.token]
      const people = [self.memberId, bystander.memberId, adminId]
      const keys = [adminKeyId]
      const teams = [installation.team_id]
      const rights = () =>
        random.below(2) === 0
          ? { roles: Array.from({ length: random.below(3) }, () => random.pick(names)) }
          : { is_admin: random.below(2) === 0, is_developer: true, can_use_llm_proxy: random.below(2) === 0 }
      /** Whatever somebody may try to get more by. */
      const tries: ((token: string) => Promise<Answer>)[] = [
        token =>
          call(token, 'POST', `${project}/users`, {
            email: `p${index}-${people.length}-${random.below(1e9)}@example.com`,
            ...rights(),
          }),
        token => call(token, 'PUT', `${project}/users/${random.pick(people)}`, rights()),
        token =>
          call(token, 'PUT', `/accounts/members/${random.pick(people)}`, {
            account_admin: true,
            operator: true,
            disabled: false,
          }),
        token => call(token, 'POST', `/accounts/members/${random.pick(people)}/password-link`, {}),
        token =>
          call(token, 'POST', `${project}/api-keys`, {
            name: 'x',
            role: random.pick(['member', 'developer', 'admin']),
          }),
        token =>
          call(token, 'POST', `${project}/api-keys`, { name: 'x', role: 'admin', member_id: random.pick(people) }),
        token => call(token, 'POST', `${project}/api-keys/${random.pick(keys)}/rotate`, {}),
        token => call(token, 'POST', `${project}/service-accounts`, { name: `s${random.below(1e9)}` }),
        token =>
          call(token, 'POST', `${project}/teams`, { name: `t${random.below(1e9)}`, owner_id: random.pick(people) }),
        token =>
          call(token, 'PUT', `${project}/teams/${random.pick(teams)}/members/${random.pick(people)}`, {
            role: 'owner',
          }),
      ]
      for (let step = 0; step < 60; step++) {
        const { status, body } = await random.pick(tries)(random.pick(credentials))
        if (status !== 200) continue
        done += 1
        if (typeof body.value === 'string') credentials.push(body.value)
        if (typeof body.token === 'string') assert.fail('a password link for somebody')
        if (typeof body.user_id === 'string') {
          people.push(body.user_id)
          // Whoever adds somebody may be in league with them.
          credentials.push(await signInAs(db, body.user_id))
        }
        if (typeof body.id === 'string' && body.id.startsWith('team_')) teams.push(body.id)
        else if (typeof body.id === 'string' && typeof body.value === 'string') keys.push(body.id)
      }
      for (const token of credentials)
        for (const permission of await permissionsWith(token)) assert.ok(ceiling.includes(permission), permission)
      assert.deepEqual(
        await permissionsWith(bystander.token),
        permissionsOf('admin', []),
        'whoever stands above keeps theirs',
      )
    })

  t.diagnostic(`${done} calls went through`)
  assert.ok(done > 20, 'too little went through to show anything')
})
