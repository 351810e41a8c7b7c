import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { GatewayStack } from '../gateway-stack.ts'
import type { ScriptedProvider } from '../scripted-provider.ts'

const body = { model: 'gpt-of-tomorrow', messages: [{ role: 'user', content: 'Hello' }] }
const reply = JSON.stringify({
  id: 'chatcmpl-1',
  model: 'gpt-of-tomorrow',
  choices: [{ index: 0, finish_reason: 'stop', message: { role: 'assistant', content: 'Hello' } }],
  usage: { prompt_tokens: 1000, completion_tokens: 100, total_tokens: 1100 },
})

/** A model that no price book knows: refused, assumed at the highest price, or metered without one, as its project says. */
export function unpricedIsNeverFree(gateway: GatewayStack, provider: ScriptedProvider): void {
  const call = async (unpriced: string) => {
    const project = await gateway.newProject({
      settings: { unpriced },
      integrations: { openai: { base_url: `${provider.url}/v1`, api_key: 'sk-scripted' } },
    })
    const script = provider.add({ chunks: [reply] })
    return gateway.post('/v1/chat/completions', project.apiKey, body, { headers: { 'x-script': script } })
  }

  suite('a model without a price', { concurrency: 3 }, () => {
    test('is refused where the project says nothing', async () => {
      const answer = await call('deny')
      assert.equal(answer.status, 400)
      const { error } = (await answer.json()) as { error: { code: string; message: string } }
      assert.equal(error.code, 'model_not_priced')
      assert.match(error.message, /gpt-of-tomorrow/)
    })

    test('for what a chat asks to hear is refused by name, and served in words', async () => {
      const project = await gateway.newProject({
        integrations: { openai: { base_url: `${provider.url}/v1`, api_key: 'sk-scripted' } },
      })
      const ask = (modalities: string[]) => {
        const headers = { 'x-script': provider.add({ chunks: [reply] }) }
        const spoken = { ...body, model: 'gpt-4o-audio-preview', modalities }
        return gateway.post('/v1/chat/completions', project.apiKey, spoken, { headers })
      }
      const refused = await ask(['text', 'audio'])
      assert.equal(refused.status, 400)
      assert.match(await refused.text(), /gpt-4o-audio-preview.*no price for out_audio/)
      assert.equal((await ask(['text'])).status, 200)
    })

    test('costs the highest price of its provider where the project says so, and the event names whose', async () => {
      const answer = await call('assume_max')
      assert.equal(answer.status, 200)
      const event = await gateway.eventOf(answer.headers.get('sluice-call-id'))
      // o1-pro: 150 and 600 USD a million.
      assert.equal(event.cost_nano_usd, 150_000_000 + 60_000_000)
      assert.equal(answer.headers.get('sluice-cost-usd'), '0.21')
      assert.deepEqual(
        event.line_items.map(line => line.assumed_from),
        ['o1-pro', 'o1-pro'],
      )
      assert.deepEqual([event.priced, event.assumed, event.unpriced_policy], [true, true, 'assume_max'])
    })

    test('is metered without a cost where the project says so, and the event says that it is not priced', async () => {
      const answer = await call('meter_tokens_only')
      assert.equal(answer.status, 200)
      const event = await gateway.eventOf(answer.headers.get('sluice-call-id'))
      assert.deepEqual(event.quantities, { in_text: 1000, out_text: 100 })
      assert.deepEqual([event.cost_nano_usd, event.priced, event.assumed], [0, false, undefined])
    })
  })
}
