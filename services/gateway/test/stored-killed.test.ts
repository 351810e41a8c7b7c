import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { eventually } from '@sluice/test-env'
import { GatewayStack, requestIdOf } from './gateway-stack.ts'

const gateway = await GatewayStack.start(
  { after },
  { services: ['accounts', 'billing', 'budget', 'gateway'], env: { GATEWAY_BACKGROUND_POLL_MS: '100' } },
)

test('a gateway that is killed while responses are made in the background leaves none unpaid and none paid twice', async t => {
  const { gateway: service } = gateway.stack.services
  const project = await gateway.newProject({ settings: { path_classes: { stored: true } } })
  const made: { id: string; requestId: string | null }[] = []
  for (const [delayMs, stream] of [
    [40, false],
    [5, false],
    [20, true],
  ] as const) {
    const answer = await gateway.post('/v1/responses', project.apiKey, {
      model: 'gpt-5.4-mini',
      input: `Think of the sea. [[sim output_tokens=60 delay_ms=${delayMs}]]`,
      background: true,
      stream,
    })
    assert.equal(answer.status, 200)
    let text = ''
    // Of a stream the first event is enough: whoever has heard of a response can be sure that it is recorded.
    for await (const chunk of answer.body ?? []) {
      text += Buffer.from(chunk).toString()
      if (/resp_\w+/.test(text)) break
    }
    made.push({ id: /resp_\w+/.exec(text)?.[0] ?? '', requestId: requestIdOf(answer) })
    await service.kill()
    await service.start()
    await service.untilReady()
  }
  const startedAt = performance.now()
  let billed = 0
  for (const { id, requestId } of made) {
    const event = await eventually(() =>
      gateway.eventsOf(project.projectId).find(({ settlement_key }) => settlement_key === id),
    )
    const bill = await gateway.closedBillOf(requestId)
    assert.deepEqual([event.cost_nano_usd, event.status], [bill.cost_nano_usd, 'completed'])
    billed += bill.cost_nano_usd
  }
  const posted = async () =>
    Number((await gateway.manage('GET', `/accounts/projects/${project.projectId}/balance`)).body.cost_nano_usd)
  await eventually(async () => (await posted()) >= billed)
  assert.equal(await posted(), billed)
  t.diagnostic(`${made.length} responses settled ${Math.round(performance.now() - startedAt)} ms after the last start`)
})
