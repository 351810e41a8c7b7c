import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventually } from '@sluice/test-env'
import type { GatewayStack } from '../gateway-stack.ts'

const body = {
  model: 'gpt-5.4-mini',
  messages: [{ role: 'user', content: '[[sim input_tokens=1000 output_tokens=10]]' }],
}
/** 1000 × 0.75 + 10 × 4.50 USD a million. */
const listed = 795_000
const costAt = (inputNanoUsd: number) => 1000 * inputNanoUsd + 45_000

/** A project's own prices: they hold from their instant until they end, and every event names the books it was rated with. */
export function ownPricesHold(gateway: GatewayStack): void {
  test("a project's own prices are what its calls cost, from their instant until they end", async () => {
    const project = await gateway.newProject()
    const stranger = await gateway.newProject()
    const path = `/accounts/projects/${project.projectId}/price-book`
    const put = async (usd: string, effectiveAt?: Date) => {
      const { body: published } = await gateway.manage('PUT', path, {
        prices: {
          source: 'Contract of 2026-11-01',
          providers: { openai: { models: [{ id: 'gpt-5.4-mini', prices: { in_text: usd } }] } },
        },
        ...(effectiveAt && { effective_at: effectiveAt.toISOString() }),
      })
      return published.price_book_id as string
    }
    const call = async (apiKey = project.apiKey, stream = false) => {
      const answer = await gateway.post('/v1/chat/completions', apiKey, { ...body, stream })
      assert.equal(answer.status, 200)
      await answer.arrayBuffer()
      return gateway.eventOf(answer.headers.get('sluice-call-id'))
    }
    const untilCost = (nanoUsd: number) =>
      eventually(async () => {
        const event = await call()
        return event.cost_nano_usd === nanoUsd && event
      })

    const before = await call()
    assert.deepEqual([before.cost_nano_usd, before.override_price_book_id], [listed, undefined])

    const first = await put('7.50')
    const own = await untilCost(costAt(7500))
    assert.equal(own.override_price_book_id, first)
    assert.equal(own.price_book_id, before.price_book_id)
    assert.equal(own.served_model, 'gpt-5.4-mini-2026-03-17', 'the provider names a version that the book does not')
    assert.equal((await call(project.apiKey, true)).cost_nano_usd, costAt(7500))
    assert.equal((await call(stranger.apiKey)).cost_nano_usd, listed, 'of nobody else')

    const instant = new Date(Date.now() + 1500)
    const second = await put('9', instant)
    const next = await untilCost(costAt(9000))
    assert.equal(next.override_price_book_id, second)
    for (const event of gateway.eventsOf(project.projectId)) {
      const isAfter = event.admitted_at_ms >= instant.getTime()
      assert.equal(event.cost_nano_usd === costAt(9000), isAfter, 'by the instant of admission, to the millisecond')
    }

    await gateway.manage('DELETE', path)
    assert.equal((await untilCost(listed)).override_price_book_id, undefined)
  })
}
