import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mostToldApart, partitionOf } from '@sluice/contracts'
import { eventually, makeUsageEvent, publishUsage, type UsageOverrides } from '@sluice/test-env'
import OpenAI from 'openai'
import { newProject } from './new-project.ts'
import { storyStack } from './story-stack.ts'

const { stack, admin } = await storyStack()

interface Shown {
  copies: { copy: string; spent: string; cutoff: { active: boolean } }[]
}

let budgets = 0

/** How often it is asked what stands in a thousand copies: to answer takes from what is waited for. */
const intervalMs = 300

/** A project with a budget of two requests for each session, of which as many are told apart as there may be. */
async function makeFullBudget(mode: 'hard' | 'soft') {
  const number = ++budgets
  const { projectId, apiKey } = await newProject(stack, admin, {})
  const path = `/accounts/projects/${projectId}/budgets`
  const make = async (body: object): Promise<string> => {
    const { status, body: made } = await admin.call<{ id: string }>('POST', path, { unit: 'requests', mode, ...body })
    assert.equal(status, 201, JSON.stringify(made))
    return made.id
  }
  await make({ name: 'everybody', limit: '5000', window: 'month' })
  const budgetId = await make({ name: `${mode} sessions`, limit: '2', window: 'day', per: 'session' })
  const { body: me } = await admin.call<{ account_id?: string }>('GET', `/accounts/projects/${projectId}`)
  const identity = { project_id: projectId, ...(me.account_id !== undefined && { account_id: me.account_id }) }
  const events = Array.from({ length: mostToldApart }, (_, at): UsageOverrides => {
    return { identity, claimed: { session_id: `session ${at}` } }
  })
  const bus = { connection: stack.natsAdmin }
  for (let at = 0; at < events.length; at += 200) {
    const series = { gatewayId: `gw_told_${number}`, epoch: 1, partition: partitionOf(projectId) }
    const range = { ...series, first: at + 1, last: at + 200 }
    await publishUsage(bus, range, events.slice(at, at + 200).map(makeUsageEvent))
  }
  const copies = async () => {
    const { body: shown } = await admin.call<Shown>('GET', `${path}/${budgetId}`)
    return new Map(shown.copies.map(({ copy, spent }) => [copy, spent]))
  }
  /** What those have spent who share a copy. */
  const spentByOthers = async () => Number((await copies()).get('other') ?? 0)
  const untilOthersSpent = (spent: number) => eventually(async () => (await spentByOthers()) === spent, { intervalMs })
  await eventually(async () => (await copies()).size === mostToldApart, { intervalMs })

  const clientOf = (session?: string) =>
    new OpenAI({
      ...{ baseURL: stack.openaiBaseUrl, apiKey, maxRetries: 0 },
      ...(session !== undefined && { defaultHeaders: { session_id: session } }),
    })
  const ask = { model: 'gpt-4o-mini', max_tokens: 9 }
  /** As long as its budgets cannot be asked, as on a crowded machine, it is asked again. @returns how it is answered, or refused */
  const answered = <Answer>(create: () => Promise<Answer>) =>
    eventually(async () => {
      try {
        return { answer: await create(), refusal: undefined }
      } catch (error) {
        assert.ok(error instanceof OpenAI.APIError, String(error))
        if (/cannot be asked right now|Too many calls wait/.test(error.message)) return undefined
        return { refusal: { text: error.message, callId: error.headers?.get('sluice-call-id') ?? '' } }
      }
    })
  /** @returns the refusal; undefined: it was answered */
  const call = async (session?: string) => {
    const messages = [{ role: 'user' as const, content: 'Write. [[sim output_tokens=2]]' }]
    return (await answered(() => clientOf(session).chat.completions.create({ ...ask, messages }))).refusal
  }
  /** Runs for 30 seconds unless somebody ends it. @returns once it has begun, which a raised limit lets it: how it ends */
  const begin = async (session: string) => {
    const content = 'Write. [[sim output_tokens=1500 delay_ms=20 tokens_per_chunk=1]]'
    const messages = [{ role: 'user' as const, content }]
    const create = () => clientOf(session).chat.completions.create({ model: ask.model, stream: true, messages })
    const stream = await eventually(async () => (await answered(create)).answer)
    const ended = (async () => {
      let finish: string | null | undefined
      let chunks = 0
      for await (const chunk of stream) {
        chunks++
        finish = chunk.choices[0]?.finish_reason ?? finish
      }
      return { finish, chunks }
    })()
    return { ended }
  }
  const limitTo = async (limit: number) => {
    const { status } = await admin.call('PATCH', `${path}/${budgetId}`, { limit: String(limit) })
    assert.equal(status, 200)
  }
  return { projectId, call, copies, spentByOthers, untilOthersSpent, begin, limitTo }
}

const fullBudgets = new Map<string, ReturnType<typeof makeFullBudget>>()

/** One of each mode, which its tests spend one after the other. */
function fullBudget(mode: 'hard' | 'soft') {
  const full = fullBudgets.get(mode) ?? makeFullBudget(mode)
  fullBudgets.set(mode, full)
  return full
}

test('a stream that began when nobody knew that it shares a copy is ended with the others of it, under a soft budget', async () => {
  const { call, begin, untilOthersSpent } = await fullBudget('soft')
  const { ended } = await begin('invented 0')
  assert.deepEqual([await call('invented 1'), await call('invented 2')], [undefined, undefined])
  const { finish, chunks } = await ended
  assert.equal(finish, 'length')
  assert.ok(chunks < 1_500)
  await untilOthersSpent(3)
})

for (const mode of ['hard', 'soft'] as const)
  test(`a client that invents sessions spends one limit more and no other, under a ${mode} budget for each of them`, async () => {
    const { projectId, call, copies, spentByOthers, untilOthersSpent, limitTo } = await fullBudget(mode)
    let spent = await spentByOthers()
    if (spent > 0) {
      await limitTo(spent + 3)
      await eventually(async () => (await call('invented')) === undefined)
      await untilOthersSpent(++spent)
    }
    for (const session of ['invented 1', 'invented 2']) {
      assert.equal(await call(session), undefined)
      await untilOthersSpent(++spent)
    }
    const refused = await eventually(() => call('invented 3'))
    assert.match(refused.text, new RegExp(`Budget "${mode} sessions" for every other session is spent`))
    assert.equal(await call('session 5'), undefined, 'whoever is told apart has what is theirs')
    assert.equal(await call(), undefined, 'and whoever says nothing')
    await eventually(async () => (await copies()).get('unknown') === '1', { intervalMs })
    const explained = await eventually(async () => {
      const path = `/accounts/projects/${projectId}/calls/${refused.callId}`
      const { body } = await admin.call<{ limits?: { budgets: { copy: string; verdict: string }[] } }>('GET', path)
      return body.limits?.budgets.find(({ verdict }) => verdict === 'refused')
    })
    assert.equal(explained.copy, 'other')
    assert.ok(![...(await copies()).keys()].some(copy => copy.startsWith('invented')))
  })

test('a stream that the shared copy has paid for is ended by its cutoff, under a hard budget', async () => {
  const { call, begin, spentByOthers, untilOthersSpent, limitTo } = await fullBudget('hard')
  const spent = await spentByOthers()
  await limitTo(spent + 2)
  const { ended } = await begin('invented 0')
  assert.equal(await call('invented 1'), undefined)
  await untilOthersSpent(spent + 1)
  await limitTo(spent + 1)
  const { finish, chunks } = await ended
  assert.equal(finish, 'length')
  assert.ok(chunks < 1_500)
})
