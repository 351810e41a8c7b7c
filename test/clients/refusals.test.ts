import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { suite, type TestContext, test } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import { eventually, sized } from '@sluice/test-env'
import OpenAI from 'openai'
import { newProject } from '../new-project.ts'
import { storyStack } from '../story-stack.ts'
import { type Talker, type Told, talkers } from './talkers.ts'

// Its ES module build lacks its own type marker, so Node reads only the CommonJS one.
const { ApiScope, LLMGrant, ParticipantToken } = createRequire(import.meta.url)(
  '@meshagent/meshagent',
) as typeof import('@meshagent/meshagent')

const { stack, admin } = await storyStack()

type Way = 'plain' | 'streamed'
const ways = ['plain', 'streamed'] as const

/** What became of a client's call: what it told or raised, and every answer that came to it. */
interface Ended {
  who: string
  talker: Talker
  way: Way
  told: Told | undefined
  raised: string | undefined
  error: unknown
  statuses: number[]
  durationMs: number
  headers: Headers | undefined
  bodies: string[]
}

interface Running {
  /** The provider has begun, as far as its client can see. */
  begun: Promise<void>
  ended: Promise<Ended>
}

/** Lets a client make a call as its users do. */
function begin(talker: Talker, way: Way, apiKey: string, prompt: string, room?: string): Running {
  const statuses: number[] = []
  const bodies: string[] = []
  let headers: Headers | undefined
  let isBegun = () => {}
  const begun = new Promise<void>(resolve => {
    isBegun = resolve
  })
  const counting: typeof fetch = async (input, init) => {
    const answering = fetch(input, init)
    // A plain call shows nothing of what goes on at the provider.
    if (way === 'plain') isBegun()
    const answer = await answering
    statuses.push(answer.status)
    headers = answer.headers
    if (!answer.ok) bodies.push(await answer.clone().text())
    isBegun()
    return answer
  }
  const below = room === undefined ? '' : `/rooms/${room}`
  const openaiBaseUrl = `${stack.url}${below}/openai/v1`
  const anthropicBaseUrl = `${stack.url}${below}/anthropic`
  const begunAtMs = performance.now()
  const talk = { openaiBaseUrl, anthropicBaseUrl, apiKey, headers: {}, prompt, fetch: counting }
  const ended = talker[way](talk).then(
    told => ({ told, raised: undefined, error: undefined }),
    (error: unknown) => ({
      ...{ told: undefined, error },
      raised: error instanceof Error ? error.message : JSON.stringify(error),
    }),
  )
  return {
    begun,
    ended: ended.then(({ told, raised, error }) => ({
      ...{ who: `${talker.name}, ${way}`, talker, way, told, raised, error },
      ...{ statuses, headers, bodies, durationMs: performance.now() - begunAtMs },
    })),
  }
}

/** Both ways; in small one of them, which changes with the number. */
const waysOf = (number: number): readonly Way[] =>
  sized<readonly Way[]>({ small: ways.filter((_, which) => which === number % 2), full: ways })

/** @param turn in small, who calls in one way at 0 calls in the other at 1 */
const everybody = (turn: 0 | 1, apiKey: string, prompt: string): Running[] =>
  talkers.flatMap((talker, at) => waysOf(at + turn).map(way => begin(talker, way, apiKey, prompt)))
const endsOf = (running: readonly Running[]): Promise<Ended[]> => Promise.all(running.map(({ ended }) => ended))

const sdks = new Set(['openai, chat', 'openai, responses', '@anthropic-ai/sdk'])
const errorsOf = {
  401: [OpenAI.AuthenticationError, Anthropic.AuthenticationError],
  402: [OpenAI.APIError, Anthropic.APIError],
  403: [OpenAI.PermissionDeniedError, Anthropic.PermissionDeniedError],
  429: [OpenAI.RateLimitError, Anthropic.RateLimitError],
}

/** Programs that catch errors by their class, as both SDKs document it, find the one of this status. LangChain has errors of its own. */
function assertClass({ who, talker, error }: Ended, status: keyof typeof errorsOf): void {
  if (!sdks.has(talker.name)) return
  const [ofOpenai, ofAnthropic] = errorsOf[status].map(each => error instanceof each)
  assert.ok(ofOpenai || ofAnthropic, `${who}: ${error}`)
  assert.equal((error as { status?: number }).status, status, who)
}

function tellSlowest(t: TestContext, ends: readonly Ended[]): void {
  const [slowest] = [...ends].sort((a, b) => b.durationMs - a.durationMs)
  if (slowest)
    t.diagnostic(`the last of ${ends.length} raised after ${Math.round(slowest.durationMs)} ms: ${slowest.who}`)
}

async function projectWith(wish?: Record<string, unknown>) {
  // Whoever leaves has left: nothing is read on for them.
  const made = await newProject(stack, admin, { on_client_abort: { openai: 'cancel', anthropic: 'cancel' } })
  const path = `/accounts/projects/${made.projectId}`
  if (wish) {
    const { status, body } = await admin.call('POST', `${path}/budgets`, { name: 'the limit', window: 'day', ...wish })
    assert.equal(status, 201, JSON.stringify(body))
  }
  return { ...made, path }
}

/** Nothing was credited: the balance is used up as soon as the project is prepaid. */
async function useUpBalance(path: string): Promise<void> {
  assert.equal((await admin.call('PATCH', `${path}/balance`, { prepaid: true })).status, 204)
}

async function raw(apiKey: string, body: object, signal?: AbortSignal): Promise<Response> {
  return fetch(`${stack.openaiBaseUrl}/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'gpt-4o', messages: [{ role: 'user', content: 'x' }], ...body }),
    ...(signal ? { signal } : {}),
  })
}

const quick = 'Say it. [[sim output_tokens=4]]'
/** Runs for three minutes unless somebody ends it. */
const slow = 'Write. [[sim output_tokens=3000 delay_ms=60 tokens_per_chunk=1]]'
const message = (content: string) => ({ messages: [{ role: 'user', content }] })

/** Who comes in while somebody holds all that there is, until `work` is done. */
async function whileHeld<Result>(apiKey: string, maxTokens: number, work: () => Promise<Result>): Promise<Result> {
  const leave = new AbortController()
  const answer = await eventually(async () => {
    const body = { ...message('Write. [[sim output_tokens=4000 delay_ms=40]]'), max_tokens: maxTokens, stream: true }
    const begun = await raw(apiKey, body, leave.signal)
    return begun.status === 200 && begun
  })
  const reading = answer.text().catch(() => '')
  try {
    return await work()
  } finally {
    leave.abort()
    await reading
  }
}

/** A key beside the first of a project, and how it is deleted. */
async function anotherKey() {
  const { projectId, path } = await projectWith()
  const { body } = await admin.call<{ id: string; value: string }>('POST', `${path}/api-keys`, { name: 'another' })
  await eventually(async () => (await raw(body.value, { max_tokens: 1 })).status === 200)
  const revoke = async () => {
    assert.equal((await admin.call('DELETE', `${path}/api-keys/${body.id}`)).status, 204)
  }
  return { projectId, apiKey: body.value, revoke }
}

async function revokedKey() {
  const key = await anotherKey()
  await key.revoke()
  await eventually(async () => (await raw(key.apiKey, {})).status === 401)
  return key
}

/** Lets everybody begin what takes a minute, ends it for all of them at once, and says what became of it. */
async function endedWhileRunning(turn: 0 | 1, apiKey: string, end: () => Promise<unknown>): Promise<Ended[]> {
  const running = everybody(turn, apiKey, slow)
  await Promise.all(running.map(({ begun }) => begun))
  // A plain call is at its provider when that says so: a moment is enough, and one that is not refused before it.
  await new Promise(resolve => setTimeout(resolve, 500))
  await end()
  return endsOf(running)
}

// Most of the time they wait until they may try again.
suite('what each client makes of it', { concurrency: 3 }, () => {
  suite('a refusal, as each client feels it', { concurrency: 3 }, () => {
    test('spent: one request, the budget’s words, and an exception: 429 to those who obey, 402 to all others', async t => {
      const { apiKey } = await projectWith({ unit: 'usd', limit: '0.000001', mode: 'soft' })
      await eventually(async () => (await raw(apiKey, {})).status === 402)
      const ends = await endsOf(everybody(0, apiKey, quick))
      tellSlowest(t, ends)
      for (const ended of ends) {
        const { who, talker, raised, statuses, headers, bodies } = ended
        assert.deepEqual(statuses, [talker.isOfficial ? 429 : 402], who)
        assertClass(ended, 429)
        assert.match(raised ?? '', /Budget \\?"the limit\\?" is spent.*out of credits/, who)
        assert.equal(headers?.get('x-should-retry') ?? null, talker.isOfficial ? 'false' : null, who)
        assert.match(bodies[0] ?? '', /insufficient_quota|billing_error/, who)
      }
    })

    test('a prepaid balance that is used up: one request, 402, and the words', async () => {
      const { apiKey, path } = await projectWith()
      await useUpBalance(path)
      await eventually(async () => (await raw(apiKey, {})).status === 402)
      for (const ended of await endsOf(everybody(1, apiKey, quick))) {
        const { who, raised, statuses, headers, bodies } = ended
        assert.deepEqual(statuses, [402], who)
        assertClass(ended, 402)
        assert.match(raised ?? '', /prepaid balance of this project is used up, so this call is out of credits/, who)
        assert.equal(headers?.get('x-should-retry'), 'false', who)
        assert.match(bodies[0] ?? '', /insufficient_quota|billing_error/, who)
      }
    })

    test('a rate limit: 429 with the time to wait, and clients that try again do', async () => {
      const { apiKey } = await projectWith({ unit: 'concurrent', limit: '1', mode: 'hard', window: 'total' })
      await eventually(async () => (await raw(apiKey, {})).headers.get('sluice-budget-name') === 'the limit')
      const ends = await whileHeld(apiKey, 4_000, () => endsOf(everybody(0, apiKey, quick)))
      for (const ended of ends) {
        const { who, talker, raised, statuses, headers } = ended
        assert.ok(
          statuses.every(status => status === 429),
          `${who}: ${statuses}`,
        )
        assertClass(ended, 429)
        assert.equal(statuses.length, talker.name === 'an unknown client' ? 1 : 2, who)
        assert.match(headers?.get('retry-after') ?? '', /^[1-5]$/, who)
        assert.equal(headers?.get('x-should-retry'), null, who)
        assert.match(raised ?? '', /Please try again in \d+s|tries|attempts/, who)
      }
    })

    test('money that others hold: 429 after a wait, with seconds to try again, and the budget by its name', async () => {
      const wish = { unit: 'usd', limit: '0.042', mode: 'hard', hold: 'exact' }
      const { apiKey } = await projectWith(wish)
      await eventually(
        async () => (await raw(apiKey, { max_tokens: 1 })).headers.get('sluice-budget-name') === 'the limit',
      )
      const ends = await whileHeld(apiKey, 4_000, () => endsOf(everybody(1, apiKey, quick)))
      for (const { who, statuses, headers, bodies } of ends) {
        assert.ok(
          statuses.every(status => status === 429),
          `${who}: ${statuses} ${bodies.join()}`,
        )
        assert.match(headers?.get('retry-after') ?? '', /^[1-5]$/, who)
        const { error } = JSON.parse(bodies[0] ?? '') as {
          error: { metadata: { reason: string; budget_name: string } }
        }
        assert.deepEqual([error.metadata.reason, error.metadata.budget_name], ['budget_held', 'the limit'], who)
      }
    })

    test('a key that is revoked: 401, and nobody tries again', async t => {
      const { apiKey } = await revokedKey()
      const ends = await endsOf(everybody(1, apiKey, quick))
      tellSlowest(t, ends)
      for (const ended of ends) {
        const { who, raised, statuses } = ended
        assert.deepEqual(statuses, [401], who)
        assertClass(ended, 401)
        assert.ok(raised, who)
      }
    })
  })

  suite('an end in the middle, as each client feels it', { concurrency: 3 }, () => {
    test('money gone: streams end as at their limit and raise nothing; a call that is not streamed gets the refusal', async () => {
      const { apiKey, path } = await projectWith({ unit: 'usd', limit: '5', mode: 'soft' })
      await eventually(async () => (await raw(apiKey, {})).headers.get('sluice-budget-name') === 'the limit')
      const { body } = await admin.call<{ budgets: { id: string }[] }>('GET', `${path}/budgets`)
      const lower = () => admin.call('PATCH', `${path}/budgets/${body.budgets[0]?.id}`, { limit: '0.000001' })
      for (const ended of await endedWhileRunning(0, apiKey, lower)) {
        const { who, talker, way, told, raised, statuses } = ended
        if (way === 'streamed') {
          assert.deepEqual([statuses, raised, told?.finish], [[200], undefined, talker.atLimit], who)
          assert.ok((told?.text.length ?? 0) > 0, who)
        } else {
          assert.deepEqual(statuses, [talker.isOfficial ? 429 : 402], who)
          assertClass(ended, 429)
          assert.match(raised ?? '', /Budget \\?"the limit\\?" is spent/, who)
        }
      }
      for (const { who, talker, statuses } of await endsOf(everybody(1, apiKey, quick)))
        assert.deepEqual(statuses, [talker.isOfficial ? 429 : 402], `${who}, the next`)
    })

    test('a prepaid balance is used up: streams end as at their limit and raise nothing; a call that is not streamed, and the next, is 402', async () => {
      const { apiKey, path } = await projectWith()
      for (const { who, talker, way, told, raised, statuses } of await endedWhileRunning(1, apiKey, () =>
        useUpBalance(path),
      )) {
        if (way === 'streamed') {
          assert.deepEqual([statuses, raised, told?.finish], [[200], undefined, talker.atLimit], who)
          assert.ok((told?.text.length ?? 0) > 0, who)
        } else {
          assert.deepEqual(statuses, [402], who)
          assert.match(raised ?? '', /out of credits/, who)
        }
      }
      for (const { who, statuses } of await endsOf(everybody(0, apiKey, quick)))
        assert.deepEqual(statuses, [402], `${who}, the next`)
    })

    test('an admin’s stop of the project: every client raises, a call that is not streamed is 403, and so is the next', async () => {
      const { apiKey, path } = await projectWith()
      const stop = () => admin.call('POST', `${path}/stops`, { reason: 'It is late.' })
      for (const ended of await endedWhileRunning(0, apiKey, stop)) {
        const { who, way, raised, statuses } = ended
        if (way === 'plain') assertClass(ended, 403)
        assert.match(raised ?? '', /stopped by an admin/, who)
        assert.deepEqual(statuses, [way === 'streamed' ? 200 : 403], who)
      }
      for (const { who, statuses } of await endsOf(everybody(1, apiKey, quick)))
        assert.deepEqual(statuses, [403], `${who}, the next`)
    })

    test('a key that is revoked: every client raises, a call that is not streamed is 401', async () => {
      const { apiKey, revoke } = await anotherKey()
      for (const ended of await endedWhileRunning(1, apiKey, revoke)) {
        const { who, way, raised, statuses } = ended
        if (way === 'plain') assertClass(ended, 401)
        assert.match(raised ?? '', /has been revoked/, who)
        assert.deepEqual(statuses, [way === 'streamed' ? 200 : 401], who)
      }
    })
  })

  test('whoever is stopped, removed or shut out is ended in the middle with the reason, and everybody beside them goes on', async () => {
    const { apiKey, path } = await projectWith()
    const make = async <T>(at: string, body: object): Promise<T> => {
      const answer = await admin.call<T>('POST', `${path}${at}`, body)
      assert.ok(answer.status < 300, `${at}: ${JSON.stringify(answer.body)}`)
      return answer.body
    }
    const person = async (email: string) =>
      (await make<{ user_id: string }>('/users', { email, can_use_llm_proxy: true })).user_id
    const keyOf = (name: string, owner: object = {}) =>
      make<{ id: string; value: string }>('/api-keys', { name, ...owner })
    const { id: team } = await make<{ id: string }>('/teams', { name: 'stopped' })
    const [stopped, removed] = [await person('stopped@example.com'), await person('removed@example.com')]
    const ofTeam = await keyOf('of the team', { team_id: team })
    const ofStopped = await keyOf('of one who is stopped', { member_id: stopped })
    const ofRemoved = await keyOf('of one who is removed', { member_id: removed })
    const itself = await keyOf('stopped itself')
    await make('/rooms', { name: 'den' })
    const token = new ParticipantToken({ name: 'worker' })
    token.addRoomGrant('den')
    token.addApiGrant(new ApiScope({ llm: new LLMGrant({}) }))
    const inRoom = await token.toJwt({ apiKey })

    const stop = (scope: object, reason: string) => make('/stops', { scope, reason })
    const cases = [
      {
        who: 'a team',
        key: ofTeam.value,
        status: 403,
        words: /Not this team\./,
        end: () => stop({ team }, 'Not this team.'),
      },
      {
        ...{ who: 'a member', key: ofStopped.value, status: 403, words: /Not this member\./ },
        end: () => stop({ member: stopped }, 'Not this member.'),
      },
      {
        ...{ who: 'a key', key: itself.value, status: 403, words: /Not this key\./ },
        end: () => stop({ key: itself.id }, 'Not this key.'),
      },
      {
        ...{ who: 'a removed member', key: ofRemoved.value, status: 401, words: /revoked|no longer|removed/ },
        end: () => admin.call('DELETE', `${path}/users/${removed}`),
      },
      {
        ...{ who: 'a closed room', key: inRoom, room: 'den', status: 403, words: /Room \\?"den/ },
        end: () => admin.call('DELETE', `${path}/rooms/den`),
      },
    ] as const
    for (const { key } of cases.slice(0, 4))
      await eventually(async () => (await raw(key, { max_tokens: 1 })).status === 200)

    const official = talkers.filter(({ name }) => name === 'openai, chat' || name === '@anthropic-ai/sdk')
    const bystanders = official.map(talker => begin(talker, 'streamed', apiKey, slow))
    const running = cases.map((each, number) => ({
      each,
      calls: official.flatMap((talker, at) =>
        waysOf(number + at).map(way => begin(talker, way, each.key, slow, 'room' in each ? each.room : undefined)),
      ),
    }))
    await Promise.all([...bystanders, ...running.flatMap(({ calls }) => calls)].map(({ begun }) => begun))
    await new Promise(resolve => setTimeout(resolve, 500))
    for (const { each } of running) await each.end()
    for (const { each, calls } of running)
      for (const { who, way, raised, statuses } of await endsOf(calls)) {
        assert.match(raised ?? '', each.words, `${each.who}: ${who}`)
        assert.deepEqual(statuses, [way === 'streamed' ? 200 : each.status], `${each.who}: ${who}`)
      }

    // An app is stopped by what it says of itself: the other SDK's stream is not its.
    await stop({ app: 'openai-sdk-js' }, 'Not this app.')
    const [openai, anthropic] = bystanders
    assert.match((await openai?.ended)?.raised ?? '', /Not this app\./)
    await stop({}, 'Now everybody.')
    assert.match((await anthropic?.ended)?.raised ?? '', /Now everybody\./)
  })
})
