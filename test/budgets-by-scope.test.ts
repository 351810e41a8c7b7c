import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { suite, test } from 'node:test'
import { eventually } from '@sluice/test-env'
import { newProject } from './new-project.ts'
import { storyStack } from './story-stack.ts'

// Its ES module build lacks its own type marker, so Node reads only the CommonJS one.
const { ApiScope, LLMGrant, ParticipantToken } = createRequire(import.meta.url)(
  '@meshagent/meshagent',
) as typeof import('@meshagent/meshagent')

const { stack, admin } = await storyStack()
const { projectId } = await newProject(stack, admin, {})
const project = `/accounts/projects/${projectId}`

interface Budget {
  id: string
  spent?: string
  copies?: { copy: string; spent: string }[]
}

/** A management call that must succeed. */
async function make<T>(path: string, body: unknown): Promise<T> {
  const answer = await admin.call<T>('POST', `${project}${path}`, body)
  assert.ok(answer.status < 300, `${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
  return answer.body
}

const makeTeam = async (name: string) => (await make<{ team_id?: string; id?: string }>('/teams', { name })).id ?? ''
const makeKey = (name: string, owner: { team_id?: string; member_id?: string }) =>
  make<{ id: string; value: string }>('/api-keys', { name, ...owner })

/** Another person in the project. */
async function addColleague(email = 'colleague@example.com'): Promise<string> {
  return (await make<{ user_id: string }>('/users', { email, can_use_llm_proxy: true })).user_id
}

async function tokenForRoom(apiKey: string, room: string): Promise<string> {
  const token = new ParticipantToken({ name: 'worker' })
  token.addRoomGrant(room)
  token.addApiGrant(new ApiScope({ llm: new LLMGrant({}) }))
  return await token.toJwt({ apiKey })
}

/** Nano-USD of a decimal amount, exact. */
function nano(usd: string): bigint {
  const [whole = '0', fraction = ''] = usd.split('.')
  assert.ok(fraction.length <= 9, usd)
  return BigInt(whole) * 1_000_000_000n + BigInt(fraction.padEnd(9, '0'))
}

/** One call, and what it cost as its answer says. Lengths differ, so that no two sums are the same by chance. */
async function spend(credential: string, outputTokens: number, room?: string): Promise<bigint> {
  const answer = await fetch(`${stack.url}${room === undefined ? '' : `/rooms/${room}`}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${credential}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'gpt-5.4',
      messages: [{ role: 'user', content: `Write. [[sim output_tokens=${outputTokens}]]` }],
    }),
  })
  const text = await answer.text()
  assert.equal(answer.status, 200, text)
  const cost = nano(answer.headers.get('sluice-cost-usd') ?? '')
  assert.ok(cost > 0n)
  return cost
}

test('budgets on project, team, member, room and key, and per member, count the calls that are theirs, to the nano-dollar', async () => {
  const { body: me } = await admin.call<{ id: string }>('GET', '/accounts/profiles/me')
  const colleague = await addColleague()
  const [red, blue] = [await makeTeam('red'), await makeTeam('blue')]
  const mine = await makeKey('mine', { team_id: red, member_id: me.id })
  const theirs = await makeKey('theirs', { team_id: red, member_id: colleague })
  const shared = await makeKey('shared', { team_id: blue })
  const token = await tokenForRoom(mine.value, 'lab')

  const budget = (name: string, scope: Record<string, string>, per?: string) =>
    make<Budget>('/budgets', { name, scope, ...(per ? { per } : {}), unit: 'usd', limit: '100', window: 'total' })
  const budgets = {
    project: await budget('project', {}),
    red: await budget('red', { team: red }),
    blue: await budget('blue', { team: blue }),
    me: await budget('me', { member: me.id }),
    colleague: await budget('colleague', { member: colleague }),
    lab: await budget('lab', { room: 'lab' }),
    myKey: await budget('my key', { key: mine.id }),
    meInLab: await budget('me in the lab', { member: me.id, room: 'lab' }),
    perMember: await budget('each member', {}, 'member'),
  }

  const byMine = await spend(mine.value, 11)
  const byMineInLab = await spend(mine.value, 23, 'lab')
  const byTheirs = await spend(theirs.value, 47)
  const byShared = await spend(shared.value, 95)
  // Whoever holds a member's key can sign a token for anybody: what it spends is the key's, and its member's, all the same.
  const byToken = await spend(token, 191)

  const expected: Record<keyof typeof budgets, bigint | Record<string, bigint>> = {
    project: byMine + byMineInLab + byTheirs + byShared + byToken,
    red: byMine + byMineInLab + byTheirs + byToken,
    blue: byShared,
    me: byMine + byMineInLab + byToken,
    colleague: byTheirs,
    lab: byMineInLab + byToken,
    myKey: byMine + byMineInLab + byToken,
    meInLab: byMineInLab + byToken,
    perMember: { [me.id]: byMine + byMineInLab + byToken, [colleague]: byTheirs },
  }
  await eventually(async () => {
    const spent: Record<string, unknown> = {}
    for (const [name, { id }] of Object.entries(budgets)) {
      const { body } = await admin.call<Budget>('GET', `${project}/budgets/${id}`)
      spent[name] = body.copies
        ? Object.fromEntries(body.copies.map(each => [each.copy, nano(each.spent)]))
        : nano(body.spent ?? '')
    }
    assert.deepEqual(spent, expected)
    return true
  })
})

suite('seats, and budgets of the account', { concurrency: 4 }, () => {
  test('a hard budget of the account holds over all of its projects together, and is refused by its name', async () => {
    const model = 'gpt-4.1-mini'
    const answer = await admin.call<Budget>('POST', '/accounts/budgets', {
      name: 'small experiments',
      scope: { model },
      unit: 'requests',
      limit: '3',
      window: 'total',
      mode: 'hard',
    })
    assert.equal(answer.status, 201, JSON.stringify(answer.body))
    const path = `/accounts/budgets/${answer.body.id}`
    const keys = [(await newProject(stack, admin, {})).apiKey, (await newProject(stack, admin, {})).apiKey]
    const call = (key: string) =>
      fetch(`${stack.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
        body: JSON.stringify({ model, max_tokens: 5, messages: [{ role: 'user', content: 'x' }] }),
      })
    const statuses: number[] = []
    let refusal = ''
    for (let times = 0; times < 4; times++)
      for (const key of keys) {
        const response = await call(key)
        statuses.push(response.status)
        const text = await response.text()
        if (response.status !== 200) refusal = text
      }
    assert.deepEqual(
      statuses.filter(status => status === 200),
      [200, 200, 200],
      refusal,
    )
    assert.deepEqual(statuses.slice(3), [402, 402, 402, 402, 402])
    assert.match(refusal, /small experiments/)
    const { body } = await admin.call<Budget>('GET', path)
    assert.equal(body.spent, '3')
    assert.equal((await admin.call('DELETE', path)).status, 204)
  })

  test('what a team gives each seat holds for each person in it, and for nobody else', async () => {
    const { body: me } = await admin.call<{ id: string }>('GET', '/accounts/profiles/me')
    const seat = { amount_nano_usd: 1, window: 'month', mode: 'hard' }
    const team = (await make<{ id: string }>('/teams', { name: 'green', seat_budget: seat })).id
    const mine = await makeKey('seated', { team_id: team, member_id: me.id })
    const shared = await makeKey('unseated', { team_id: team })
    const call = (key: string) =>
      fetch(`${stack.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'gpt-5.4', messages: [{ role: 'user', content: 'Hello' }] }),
      })
    const refused = await eventually(async () => {
      const answer = await call(mine.value)
      const text = await answer.text()
      return answer.status === 402 ? text : undefined
    })
    assert.match(refused, /Seats of green/)
    assert.equal((await call(shared.value)).status, 200)
    assert.equal((await call(await tokenForRoom(mine.value, 'anywhere'))).status, 402, 'under another name')
    assert.equal((await call(await tokenForRoom(shared.value, 'anywhere'))).status, 200)
    const own = { name: 'mine', scope: { team, member: me.id }, unit: 'usd', limit: '100', window: 'month' }
    const { id } = await make<Budget>('/budgets', own)
    await eventually(async () => (await call(mine.value)).status === 200)
    assert.equal((await admin.call('DELETE', `${project}/budgets/${id}`)).status, 204)
    await eventually(async () => (await call(mine.value)).status === 402)
    await admin.call('PUT', `${project}/teams/${team}`, { name: 'green', seat_budget: { ...seat, window: 'day' } })
    await admin.call('PUT', `${project}/teams/${team}`, { name: 'green' })
    await eventually(async () => (await call(mine.value)).status === 200)
  })

  test('whoever is merely put into a team has its seat and its models, and cannot choose otherwise', async () => {
    const person = await addColleague('seated@example.com')
    const own = await makeKey('own', { member_id: person })
    const call = async (model: string) => {
      const answer = await fetch(`${stack.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${own.value}`, 'content-type': 'application/json' },
        body: JSON.stringify({ model, max_tokens: 5, messages: [{ role: 'user', content: 'Hello' }] }),
      })
      await answer.text()
      return answer.status
    }
    assert.equal(await call('gpt-5.4'), 200)
    const seat_budget = { amount_nano_usd: 1, window: 'month', mode: 'hard' }
    const limits = { allowed_models: ['openai/gpt-5.4-mini'], seat_budget }
    const team = (await make<{ id: string }>('/teams', { name: 'limited', ...limits })).id
    await admin.call('PUT', `${project}/teams/${team}/members/${person}`, {})
    await eventually(async () => (await call('gpt-5.4')) === 403 && (await call('gpt-5.4-mini')) === 402)
    const { body } = await admin.call<{ token: string }>('POST', `/accounts/members/${person}/password-link`)
    const post = (path: string, payload: unknown) =>
      fetch(stack.url + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(payload),
      })
    const password = 'a seat by the window 42'
    assert.equal((await post('/accounts/password', { token: body.token, new_password: password })).status, 204)
    const session = await post('/accounts/sign-in', { email: 'seated@example.com', password })
    const { access_token } = (await session.json()) as { access_token: string }
    const chosen = await fetch(`${stack.url}${project}/users/me/default-team`, {
      method: 'PUT',
      headers: { authorization: `Bearer ${access_token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ team_id: null }),
    })
    assert.equal(chosen.status, 403, await chosen.text())
    assert.deepEqual([await call('gpt-5.4'), await call('gpt-5.4-mini')], [403, 402])
  })
})
