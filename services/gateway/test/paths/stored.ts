import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { suite, type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { UsageRecordedData } from '@sluice/contracts'
import { eventually } from '@sluice/test-env'
import { type AlteredProvider, startAlteredProvider } from '../altered-provider.ts'
import { type GatewayStack, requestIdOf, sseData, type TestProject } from '../gateway-stack.ts'
import { type HeldWay, startHeldWay } from '../waiting/held-way.ts'

const model = 'gpt-5.4-mini'
const asked = (directives: string, members: object = {}) => ({
  model,
  input: `Think long of the sea. [[sim ${directives}]]`,
  background: true,
  ...members,
})

/** A response in the background is paid once, by who made it, however and whether anyone asks for it. */
export function backgroundResponsesSettleOnce(gateway: GatewayStack, closed: TestProject): void {
  const stored = { settings: { path_classes: { stored: true } } }
  const ask = (method: string, path: string, apiKey: string) =>
    fetch(`${gateway.url}${path}`, { method, headers: { authorization: `Bearer ${apiKey}` } })
  const create = async (project: TestProject, body: object, path = '/v1/responses') => {
    const answer = await gateway.post(path, project.apiKey, body)
    assert.equal(answer.status, 200, answer.headers.get('x-meshagent-error-message') ?? '')
    return answer
  }
  const settlementsOf = (project: TestProject): UsageRecordedData[] =>
    gateway.eventsOf(project.projectId).filter(event => event.settlement_key !== undefined)
  const settled = (project: TestProject, responseId: string) =>
    eventually(() => settlementsOf(project).find(event => event.settlement_key === responseId), {
      message: `the settlement of ${responseId}`,
    })

  suite('background responses', { concurrency: 4 }, () => {
    test('they are refused until the project opens their class, and the refusal says who can and how', async () => {
      for (const answer of [
        await gateway.post('/v1/responses', closed.apiKey, asked('')),
        await ask('GET', '/v1/responses/resp_1', closed.apiKey),
        await ask('DELETE', '/v1/responses/resp_1', closed.apiKey),
        await ask('POST', '/v1/responses/resp_1/cancel', closed.apiKey),
      ]) {
        assert.equal(answer.status, 403)
        const { error } = (await answer.json()) as { error: { code: string; message: string } }
        assert.equal(error.code, 'path_not_open')
        assert.match(error.message, /An admin of the project can open it: "path_classes": \{"stored": true\}/)
      }
      assert.equal(gateway.eventsOf(closed.projectId).filter(({ settlement_key }) => settlement_key).length, 0)
    })

    test('nobody asks: it is settled all the same, at its maker, to the provider’s bill', async () => {
      const project = await gateway.newProject(stored)
      const answer = await create(
        project,
        asked('output_tokens=40 reasoning=8 cached=10 delay_ms=5'),
        '/rooms/lobby/v1/responses',
      )
      const queued = (await answer.json()) as { id: string; status: string }
      assert.equal(queued.status, 'queued')
      const event = await settled(project, queued.id)
      const bill = await gateway.closedBillOf(requestIdOf(answer))
      assert.equal(event.cost_nano_usd, bill.cost_nano_usd)
      assert.deepEqual(
        [event.status, event.endpoint, event.response_id],
        ['completed', 'responses.background', queued.id],
      )
      assert.deepEqual([event.identity.room, event.identity.key_id], ['lobby', project.keyId])
      assert.deepEqual(event.provenance, {
        in_text: 'measured',
        in_cache_read: 'measured',
        out_text: 'measured',
        out_reasoning: 'measured',
      })
      // Asking for it is an event of its own, of the same call, and costs nothing.
      assert.equal(event.call_id, answer.headers.get('sluice-call-id'))
      const asking = await eventually(() => gateway.eventsOf(project.projectId).find(({ attempt }) => attempt === 1))
      assert.deepEqual([asking.call_id, asking.cost_nano_usd, asking.quantities], [event.call_id, 0, {}])
    })

    test('everyone asks at once, whole and streamed, again and again: it is settled once', async () => {
      const project = await gateway.newProject(stored)
      const answer = await create(project, asked('output_tokens=30 delay_ms=10'))
      const { id } = (await answer.json()) as { id: string }
      const streams = await Promise.all(
        [0, 1, 2].map(async () => (await ask('GET', `/v1/responses/${id}?stream=true`, project.apiKey)).text()),
      )
      for (const text of streams) assert.equal(sseData(text).at(-1).type, 'response.completed')
      await Promise.all(
        Array.from({ length: 10 }, async () => (await ask('GET', `/v1/responses/${id}`, project.apiKey)).text()),
      )
      const replayed = await (
        await ask('GET', `/v1/responses/${id}?stream=true&starting_after=5`, project.apiKey)
      ).text()
      assert.equal(sseData(replayed)[0].sequence_number, 6)
      const event = await settled(project, id)
      const bill = await gateway.closedBillOf(requestIdOf(answer))
      assert.equal(event.cost_nano_usd, bill.cost_nano_usd)
      // Who settles it twice does so under one id, which counts once.
      await eventually(async () => (await postedCost(gateway, project)) === bill.cost_nano_usd)
      assert.equal(new Set(settlementsOf(project).map(({ event_id }) => event_id)).size, 1)
      const looks = gateway.eventsOf(project.projectId).filter(({ endpoint }) => endpoint === 'responses.retrieve')
      assert.equal(looks.length, 14)
      assert.ok(looks.every(look => look.cost_nano_usd === 0))
    })

    test('one that is streamed from the start is settled once, also where its client leaves', async () => {
      const project = await gateway.newProject({
        settings: { ...stored.settings, on_client_abort: { openai: 'cancel' } },
      })
      let billed = 0
      for (const leaves of [false, true]) {
        const leave = new AbortController()
        const body = asked('output_tokens=60 delay_ms=5', { stream: true })
        const answer = await gateway.post('/v1/responses', project.apiKey, body, { signal: leave.signal })
        const reader = answer.body?.getReader()
        let text = ''
        for (;;) {
          const { done, value } = (await reader?.read()) ?? { done: true, value: undefined }
          if (done) break
          text += Buffer.from(value ?? []).toString()
          if (leaves && text.includes('output_text.delta')) {
            leave.abort()
            break
          }
        }
        const [{ response }] = sseData(text)
        const event = await settled(project, response.id)
        const bill = await gateway.closedBillOf(requestIdOf(answer))
        assert.equal(event.cost_nano_usd, bill.cost_nano_usd)
        assert.deepEqual([event.quantities.out_text, event.status], [60, 'completed'])
        billed += bill.cost_nano_usd
      }
      assert.equal(new Set(settlementsOf(project).map(({ event_id }) => event_id)).size, 2)
      await eventually(async () => (await postedCost(gateway, project)) === billed)
    })

    /** A way on which a provider's answer can be held back, and a project of which every word goes by it. */
    async function heldProject(t: TestContext, settings: object = {}): Promise<{ way: HeldWay; project: TestProject }> {
      const way = await startHeldWay(gateway.stack.simulatorUrl)
      t.after(() => way.close())
      const project = await gateway.newProject({
        settings: { ...stored.settings, ...settings },
        ownCredential: true,
        openaiOrigin: `http://${way.host}`,
      })
      return { way, project }
    }

    test('a client that leaves before it hears of its response: its asking is free, the response is cancelled and settled once', async t => {
      for (const stream of [false, true]) {
        const { way, project } = await heldProject(t, { on_client_abort: { openai: 'cancel' } })
        await leaveBeforeAnswer(gateway, way, project, asked('output_tokens=5000 delay_ms=10', { stream }))
        await isPaidOnce(gateway, project, { asking: 'aborted', settlement: 'aborted', bill: 'aborted' })
      }
    })

    test('where the project has what was left finished, a response that nobody heard of is finished and settled once', async t => {
      const { way, project } = await heldProject(t)
      await leaveBeforeAnswer(gateway, way, project, asked('output_tokens=60 delay_ms=10'))
      await isPaidOnce(gateway, project, { asking: 'aborted', settlement: 'completed', bill: 'completed' })
    })

    test('a call that is cut before its response is known: it is refused at once, and the response is cut and settled once', async t => {
      const { way, project } = await heldProject(t)
      way.holdAnswers()
      const answer = gateway.post('/v1/responses', project.apiKey, asked('output_tokens=5000 delay_ms=10'))
      await eventually(async () => (await gateway.billsOf(project)).length === 1)
      await gateway.manage('DELETE', `/accounts/projects/${project.projectId}/api-keys/${project.keyId}`)
      assert.equal((await answer).status, 401)
      assert.equal((await gateway.billsOf(project))[0]?.ended, 'running')
      way.release()
      await isPaidOnce(gateway, project, { asking: 'cut', settlement: 'cut', bill: 'aborted' })
    })

    test('a cancelled one pays for what it has said', async () => {
      const project = await gateway.newProject(stored)
      const openai = gateway.openai(project.apiKey)
      const queued = await openai.responses.create({ ...asked('output_tokens=5000 delay_ms=10'), background: true })
      for await (const { type } of await openai.responses.retrieve(queued.id, { stream: true }))
        if (type === 'response.output_text.delta') break
      const cancelled = await openai.responses.cancel(queued.id)
      assert.equal(cancelled.status, 'cancelled')
      const event = await settled(project, queued.id)
      assert.deepEqual([event.status, event.finish_reason], ['aborted', 'cancelled'])
      assert.equal(event.quantities.out_text, cancelled.usage?.output_tokens)
      assert.ok((event.quantities.out_text ?? 0) > 0)
    })

    test('one that fails pays for what it has said, and one that never began pays nothing', async () => {
      const project = await gateway.newProject(stored)
      const late = await create(project, asked('output_tokens=50 fault=error at=20 delay_ms=2'))
      const { id } = (await late.json()) as { id: string }
      const event = await settled(project, id)
      assert.deepEqual([event.status, event.error_code, event.quantities.out_text], ['failed', 'provider_failed', 20])
      assert.equal(event.cost_nano_usd, (await gateway.closedBillOf(requestIdOf(late))).cost_nano_usd)
      const early = await create(project, asked('output_tokens=50 fault=error at=0'))
      const never = await settled(project, ((await early.json()) as { id: string }).id)
      assert.deepEqual([never.status, never.cost_nano_usd], ['failed', 0])
    })

    test('one that its provider tells no usage of is estimated, never free', async () => {
      const project = await gateway.newProject(stored)
      const answer = await create(project, asked('output_tokens=90 fault=no_usage'))
      const event = await settled(project, ((await answer.json()) as { id: string }).id)
      assert.deepEqual(event.provenance, { in_text: 'estimated', out_text: 'estimated' })
      // 360 bytes at 3.6 a token.
      assert.equal(event.quantities.out_text, 100)
    })

    test('a revoked key ends what it has begun', async () => {
      const project = await gateway.newProject(stored)
      const answer = await create(project, asked('output_tokens=50000 delay_ms=20'))
      const { id } = (await answer.json()) as { id: string }
      await gateway.manage('DELETE', `/accounts/projects/${project.projectId}/api-keys/${project.keyId}`)
      const event = await settled(project, id)
      assert.deepEqual([event.status, event.cut_by?.reason], ['cut', 'credential_revoked'])
      const bill = await gateway.closedBillOf(requestIdOf(answer))
      assert.deepEqual([bill.ended, bill.cost_nano_usd], ['aborted', event.cost_nano_usd])
    })
  })

  suite('stored responses', { concurrency: 2 }, () => {
    test('only the project that made a response sees it; to every other one it does not exist', async () => {
      const [mine, theirs] = [await gateway.newProject(stored), await gateway.newProject(stored)]
      const answer = await create(mine, asked('output_tokens=10', { background: false }))
      const { id } = (await answer.json()) as { id: string }
      const found = await eventually(async () => {
        const looked = await ask('GET', `/openai/v1/responses/${id}`, mine.apiKey)
        return looked.status === 200 && ((await looked.json()) as { id: string })
      })
      assert.equal(found.id, id)
      const items = await ask('GET', `/v1/responses/${id}/input_items?limit=5`, mine.apiKey)
      assert.match(await items.text(), /Think long of the sea/)
      for (const [method, path] of [
        ['GET', ''],
        ['GET', '?stream=true'],
        ['GET', '/input_items'],
        ['POST', '/cancel'],
        ['DELETE', ''],
      ] as const)
        for (const asking of [id, 'resp_nobody_made']) {
          const refused = await ask(method, `/v1/responses/${asking}${path}`, theirs.apiKey)
          assert.equal(refused.status, 404, `${method} ${path}`)
          const { error } = (await refused.json()) as { error: { message: string } }
          assert.equal(error.message, `Response with id '${asking}' not found.`)
        }
      // It costs once, however often it is looked at.
      const { cost_nano_usd } = await gateway.closedBillOf(requestIdOf(answer))
      await eventually(async () => (await postedCost(gateway, mine)) === cost_nano_usd)
    })

    /** A response that has ended at a provider whose answers a test may hold back or change, and its look-ups there. */
    async function endedElsewhere(t: TestContext, alter: AlteredProvider['alter'] = () => undefined) {
      const provider = await startAlteredProvider(gateway.stack.simulatorUrl)
      t.after(() => provider.close())
      provider.alter = alter
      const credential = `sk-${randomUUID()}`
      const project = await gateway.newProject({
        ...stored,
        integrations: { openai: { base_url: `${provider.url}/v1`, api_key: credential } },
      })
      const answer = await create(project, asked('output_tokens=40 delay_ms=10'))
      const { id } = (await answer.json()) as { id: string }
      const hasEnded = () =>
        eventually(async () =>
          (await gateway.billsOf({ ...project, credential })).find(({ ended }) => ended === 'completed'),
        )
      return { project, provider, id, hasEnded, remove: () => ask('DELETE', `/v1/responses/${id}`, project.apiKey) }
    }

    test('a deleted response is gone; one that is being made is not deleted before it is paid', async t => {
      let queued = ''
      const { project, provider, id, hasEnded, remove } = await endedElsewhere(t, (method, _, { body }) => {
        if (method === 'POST') queued = body
        return method === 'GET' ? { status: 200, body: queued } : undefined
      })
      const early = await remove()
      assert.equal(early.status, 400)
      assert.match(await early.text(), /is still being made/)
      provider.alter = () => undefined
      const event = await settled(project, id)
      assert.equal(event.cost_nano_usd, (await hasEnded()).cost_nano_usd)
      assert.equal((await remove()).status, 200)
      await eventually(async () => (await ask('GET', `/v1/responses/${id}`, project.apiKey)).status === 404)
    })

    test('a response that has ended is deleted, also where a look that began before its end is still under way', async t => {
      const under = Promise.withResolvers<void>()
      const release = Promise.withResolvers<void>()
      t.after(() => release.resolve())
      let queued = ''
      let looks = 0
      const { hasEnded, remove } = await endedElsewhere(t, async (method, path, { body }) => {
        if (method === 'POST') queued = body
        if (method !== 'GET' || !path.includes('/responses/') || ++looks > 1) return undefined
        under.resolve()
        await release.promise
        return { status: 200, body: queued }
      })
      await under.promise
      await hasEnded()
      const deleted = remove()
      const isEarly = await Promise.race([deleted.then(() => true), delay(150, false)])
      assert.equal(isEarly, false, 'it waits for the look')
      release.resolve()
      const answer = await deleted
      assert.equal(answer.status, 200, await answer.text())
    })

    test('where the provider cannot be asked what a response has cost, it is not deleted: 503, and later 200', async t => {
      const { project, provider, id, hasEnded, remove } = await endedElsewhere(t, (method, path) =>
        method === 'GET' && path.includes('/responses/') ? { status: 500, body: '{}' } : undefined,
      )
      await hasEnded()
      const refused = await remove()
      assert.equal(refused.status, 503)
      assert.ok(Number(refused.headers.get('retry-after')) > 0)
      assert.match(await refused.text(), /its provider could not be asked\), so it is not deleted\. Try again/)
      provider.alter = () => undefined
      assert.equal((await remove()).status, 200)
      assert.equal((await settled(project, id)).status, 'completed')
    })
  })
}

/** Begins a response and leaves while its provider has it and nobody else knows of it. */
async function leaveBeforeAnswer(
  gateway: GatewayStack,
  way: HeldWay,
  project: TestProject,
  body: object,
): Promise<void> {
  way.holdAnswers()
  const leave = new AbortController()
  const answer = gateway.post('/v1/responses', project.apiKey, body, { signal: leave.signal })
  const left = assert.rejects(answer, { name: 'AbortError' })
  await eventually(async () => (await gateway.billsOf(project)).length === 1)
  leave.abort()
  await left
  // Who answers what came later has seen who left before.
  await gateway.metrics()
  way.release()
}

/** The one response of a project was paid as its provider has billed it, once, and to ask for it was free. */
export async function isPaidOnce(
  gateway: GatewayStack,
  project: TestProject,
  ended: { asking: string; settlement: string; bill: string },
): Promise<void> {
  const events = await eventually(
    () => {
      const found = gateway.eventsOf(project.projectId).filter(({ endpoint }) => endpoint.startsWith('responses'))
      return found.length >= 2 && found
    },
    { message: 'an event of the asking and one of the response' },
  )
  const bills = await gateway.billsOf(project)
  assert.deepEqual(
    bills.map(bill => bill.ended),
    [ended.bill],
  )
  const asking = events.find(({ settlement_key }) => settlement_key === undefined)
  assert.deepEqual([asking?.status, asking?.cost_nano_usd, asking?.quantities], [ended.asking, 0, {}])
  const settlement = events.find(({ settlement_key }) => settlement_key !== undefined)
  assert.deepEqual([settlement?.status, settlement?.cost_nano_usd], [ended.settlement, bills[0]?.cost_nano_usd])
  assert.equal(new Set(events.map(({ event_id }) => event_id)).size, 2)
  await eventually(async () => (await postedCost(gateway, project)) === bills[0]?.cost_nano_usd)
}

/** What billing has posted for a project. */
async function postedCost(gateway: GatewayStack, { projectId }: TestProject): Promise<number> {
  const { body } = await gateway.manage('GET', `/accounts/projects/${projectId}/balance`)
  return Number(body.cost_nano_usd)
}
