import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import { partitionOf } from '@sluice/contracts'
import { eventually } from '@sluice/test-env'
import OpenAI, { toFile } from 'openai'
import pg from 'pg'
import type { GatewayStack, ProjectOptions } from './gateway-stack.ts'

/** Money of hard budgets that outlives the call which holds it: of batches and of responses in the background. */
export function moneyOutlivesItsCall(gateway: GatewayStack): void {
  interface Budget {
    spent: string
    held: string
  }

  /** A project with a hard budget over it, which the gateway knows. */
  async function hardBudget(limit: string, options: ProjectOptions = {}, hold: 'exact' | 'paced' = 'exact') {
    const project = await gateway.newProject({ ownCredential: true, ...options })
    const path = `/accounts/projects/${project.projectId}/budgets`
    const wish = { name: hold, scope: {}, unit: 'usd', limit, window: 'day', mode: 'hard', hold }
    const { body: made } = await gateway.manage('POST', path, wish)
    const openai = gateway.openai(project.apiKey)
    await eventually(async () => {
      const asked = { model: 'gpt-4o-mini', messages: [{ role: 'user' as const, content: 'x' }], max_tokens: 1 }
      const { response } = await openai.chat.completions.create(asked).withResponse()
      return response.headers.get('sluice-budget-name') === hold
    })
    const read = async (): Promise<Budget> => (await gateway.manage('GET', `${path}/${made.id}`)).body
    const leases = async (): Promise<{ gateways: { gateway_id: string }[]; unresolved: unknown[] }> =>
      (await gateway.manage('GET', `${path}/${made.id}/leases`)).body
    const holders = async (): Promise<string[]> => (await leases()).gateways.map(each => each.gateway_id)
    return { id: made.id as string, project, openai, read, leases, holders }
  }

  /** Why a call of more than a gateway has at hand is refused; undefined: it is not. */
  async function called(openai: OpenAI): Promise<string | undefined> {
    const asked = { model: 'gpt-4o', messages: [{ role: 'user' as const, content: 'x' }], max_tokens: 16_000 }
    const refused = await openai.chat.completions.create(asked).then(
      () => undefined,
      (error: unknown) => error,
    )
    if (!refused) return undefined
    assert.ok(refused instanceof OpenAI.APIError, String(refused))
    return (refused.error as { metadata?: { reason?: string } }).metadata?.reason
  }

  /** The database is another one than before, and has never heard of what was granted of a budget. */
  async function loseLeases(budgetId: string, projectId: string): Promise<void> {
    const client = new pg.Client({ connectionString: gateway.stack.databaseUrls.budget })
    await client.connect()
    await client.query('delete from budget.leases where budget_id = $1', [budgetId])
    const ofHome = [partitionOf(projectId)]
    await client.query("update budget.partition_owners set timeline = 'another 00000001' where home = $1", ofHome)
    await client.end()
  }

  /** Nobody but gateways holds anything any more, and what was spent is what the provider has billed, to the nano-dollar. */
  async function atRest({ project, read, holders }: Awaited<ReturnType<typeof hardBudget>>): Promise<number> {
    await eventually(async () => (await holders()).every(holder => holder.startsWith('gw_')))
    const billed = (await gateway.billsOf(project)).reduce((sum, bill) => sum + bill.cost_nano_usd, 0)
    await eventually(async () => Math.round(Number((await read()).spent) * 1e9) === billed, {
      message: `${billed} nano-USD are counted: ${(await read()).spent}`,
    })
    return billed
  }

  const request = (custom_id: string, directives: string, max_tokens = 1_000) => ({
    custom_id,
    params: {
      model: 'claude-haiku-4-5',
      max_tokens,
      messages: [{ role: 'user' as const, content: `Say it. [[sim ${directives}]]` }],
    },
  })

  suite('money that outlives its call', () => {
    test('a batch holds all that it can cost under its own name, also where the budget service has lost it, and settles what it did', async () => {
      const budget = await hardBudget('1.00')
      const { project, openai, read, holders } = budget
      const client = gateway.anthropic(project.apiKey)
      const requests = [
        request('a', 'batch_ms=60000 output_tokens=40'),
        request('b', 'output_tokens=7'),
        request('c', 'result=errored'),
      ]
      const { id } = await client.messages.batches.create({ requests })
      await eventually(async () => (await holders()).some(holder => holder.startsWith('batch_')), {
        message: 'the batch has a lease of its own',
      })
      // Three times a thousand tokens of output at half of $5 a million.
      assert.ok(Number((await read()).held) > 0.0075)
      await gateway.stack.services.budget.kill()
      await loseLeases(budget.id, project.projectId)
      await gateway.stack.services.budget.start()
      await eventually(() => read().catch(() => false))
      await eventually(async () => (await called(openai)) === undefined)
      await eventually(
        async () =>
          (await holders()).some(holder => holder.startsWith('batch_')) && Number((await read()).held) > 0.0075,
        { message: 'the batch holds again what it held' },
      )
      await client.messages.batches.cancel(id)
      assert.ok((await atRest(budget)) > 0)

      const before = (await gateway.billsOf(project)).length
      const large = Array.from({ length: 10 }, (_, at) => request(`r${at}`, 'output_tokens=1', 60_000))
      // Until all have said what they have, all is held.
      await eventually(async () => {
        const error = await client.messages.batches.create({ requests: large }).catch((reason: unknown) => reason)
        assert.ok(error instanceof Anthropic.RateLimitError, String(error))
        return /Budget \\?"exact\\?" has too little left/.test(error.message)
      })
      assert.equal((await gateway.billsOf(project)).length, before)
    })

    test('a batch whose gateway dies before its answer, and again before its end, is paid once by who had asked, and keeps nothing', async () => {
      const budget = await hardBudget('1.00')
      const { project, read, holders } = budget
      const made = async (): Promise<unknown[]> => {
        const answer = await fetch(`${gateway.stack.simulatorUrl}/v1/messages/batches`, {
          headers: { 'x-api-key': project.credential, 'anthropic-version': '2023-06-01' },
        })
        return ((await answer.json()) as { data: unknown[] }).data
      }
      const asked = gateway
        .post(
          '/anthropic/v1/messages/batches',
          project.apiKey,
          {
            requests: [
              request('a', 'first_delay_ms=3000 batch_ms=60000 output_tokens=3'),
              request('b', 'output_tokens=7'),
            ],
          },
          { headers: { 'anthropic-version': '2023-06-01' } },
        )
        .catch(() => undefined)
      await eventually(async () => (await made()).length > 0)
      const again = async () => {
        await gateway.stack.services.gateway.kill()
        await gateway.stack.services.gateway.start()
        await gateway.stack.services.gateway.untilReady()
      }
      await again()
      await asked
      // Its journal is read: what the creation held is the batch's.
      await eventually(async () => (await holders()).some(holder => holder.startsWith('batch_')))
      // Twice a thousand tokens of output at half of $5 a million.
      const isHeld = async () => Number((await read()).held) > 0.005
      assert.ok(await isHeld())
      await again()
      const client = gateway.anthropic(project.apiKey)
      const { id } = await eventually(async () => (await client.messages.batches.list()).data[0])
      assert.ok(await isHeld())
      await client.messages.batches.cancel(id)
      assert.ok((await atRest(budget)) > 0)
      assert.equal((await client.messages.batches.list()).data.length, 1)
      assert.deepEqual((await budget.leases()).unresolved, [])
      const creation = gateway
        .eventsOf(project.projectId)
        .find(event => event.endpoint === 'messages.batches.create' && event.status === 'killed')
      assert.equal(creation?.cost_nano_usd, 0)
    })

    test('a batch that is cancelled gives back what it did not use', async () => {
      const budget = await hardBudget('1.00')
      const client = gateway.anthropic(budget.project.apiKey)
      const { id } = await client.messages.batches.create({
        requests: [request('a', 'batch_ms=60000 output_tokens=40'), request('b', '')],
      })
      await eventually(async () => (await budget.holders()).some(holder => holder.startsWith('batch_')), {
        message: 'the batch has a lease of its own',
      })
      // Twice a thousand tokens of output at half of $5 a million.
      assert.ok(Number((await budget.read()).held) > 0.005)
      await client.messages.batches.cancel(id)
      await atRest(budget)
      // What is held now is what the gateway itself has asked for, ahead of its next calls.
      const { gateways, unresolved } = await budget.leases()
      assert.deepEqual([gateways.filter(each => !each.gateway_id.startsWith('gw_')), unresolved], [[], []])
    })

    test('a batch with a request that nothing bounds is not made under a paced budget either', async () => {
      const { project, read } = await hardBudget('1.00', {}, 'paced')
      const before = (await gateway.billsOf(project)).length
      const create = async (requests: string): Promise<string> => {
        const answer = await fetch(`${gateway.url}/anthropic/v1/messages/batches`, {
          method: 'POST',
          headers: {
            'content-type': 'application/json',
            'x-api-key': project.apiKey,
            'anthropic-version': '2023-06-01',
          },
          body: requests,
        })
        return `${answer.status} ${await answer.text()}`
      }
      const one = (limit: string) =>
        `{"custom_id":"a","params":{"model":"claude-haiku-4-5",${limit},"messages":[{"role":"user","content":"x"}]}}`
      const twice = await create(`{"requests":[${one('"max_tokens":60000,"max_tokens":60000')}]}`)
      assert.match(twice, /^400 .*requests\.0, which cannot be read/)
      // What its requests stand under is read as it is bounded: ten times 60,000 tokens are above the limit.
      const large = Array.from({ length: 10 }, (_, at) => JSON.stringify(request(`r${at}`, 'output_tokens=1', 60_000)))
      assert.match(await create(`{"requ\\u0065sts":[${large.join()}]}`), /^402 .*has too little left/)
      assert.equal((await gateway.billsOf(project)).length, before)
      await eventually(async () => Number((await read()).held) < 0.15, { message: 'nothing is held for them' })
    })

    test('a batch of a file holds what its requests can cost by the prices of its upload', async () => {
      const budget = await hardBudget('1.00', { settings: { path_classes: { batches: true } } })
      const { openai, holders } = budget
      const line = (custom_id: string, directives: string) =>
        JSON.stringify({
          custom_id,
          method: 'POST',
          url: '/v1/chat/completions',
          body: {
            model: 'gpt-4o-mini',
            max_tokens: 500,
            messages: [{ role: 'user', content: `Say it. [[sim ${directives}]]` }],
          },
        })
      const lines = [line('a', 'batch_ms=2000 output_tokens=30'), line('b', 'output_tokens=5')]
      const file = await openai.files.create({
        purpose: 'batch',
        file: await toFile(Buffer.from(lines.join('\n')), 'requests.jsonl'),
      })
      await openai.batches.create({
        input_file_id: file.id,
        endpoint: '/v1/chat/completions',
        completion_window: '24h',
      })
      await eventually(async () => (await holders()).some(holder => holder.startsWith('batch_')))
      await atRest(budget)
    })

    test('a response in the background holds what it can cost until it has ended, and settles what it did', async () => {
      const budget = await hardBudget('1.00', { settings: { path_classes: { stored: true } } })
      const { openai, holders } = budget
      const { id } = await openai.responses.create({
        model: 'gpt-4o',
        background: true,
        input: 'Write. [[sim output_tokens=200 delay_ms=20]]',
        max_output_tokens: 1_000,
      })
      await eventually(async () => (await holders()).some(holder => holder.startsWith('background_')))
      await eventually(async () => (await openai.responses.retrieve(id)).status === 'completed')
      assert.ok((await atRest(budget)) > 0)
    })
  })
}
