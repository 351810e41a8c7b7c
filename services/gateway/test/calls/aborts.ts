import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { eventually } from '@sluice/test-env'
import { beforeTheEnd } from '../before-the-end.ts'
import { type GatewayStack, requestIdOf, type TestProject } from '../gateway-stack.ts'

/** A client that leaves: the provider hears of it, and the event exists, whatever the policy and the moment. */
export function abortsAreSettled(gateway: GatewayStack, projects: Record<'cancel' | 'drain', TestProject>): void {
  const { cancel, drain } = projects
  const streams = [
    ['chat', '/v1/chat/completions', (text: string) => chat(text)],
    ['responses', '/v1/responses', (text: string) => ({ model: 'gpt-5.4-mini', stream: true, input: text })],
    ['messages', '/anthropic/v1/messages', (text: string) => messages(text)],
  ] as const

  suite('client aborts', { concurrency: 6 }, () => {
    for (const [name, path, bodyOf] of streams) {
      test(`cancel: a client that leaves in mid-stream stops its provider, and pays what was generated: ${name}`, async t => {
        const leave = new AbortController()
        const [tokens, everyMs] = [600, 20]
        const body = bodyOf(`[[sim output_tokens=${tokens} delay_ms=${everyMs}]]`)
        const answer = await gateway.post(path, cancel.apiKey, body, { signal: leave.signal })
        await readSome(answer, 3_000)
        const leftAtMs = Date.now()
        leave.abort()
        const bill = await gateway.closedBillOf(requestIdOf(answer))
        assert.equal(bill.ended, 'aborted')
        const sawAfterMs = (bill.abort_seen_at_ms ?? Infinity) - leftAtMs
        t.diagnostic(`the provider saw it after ${sawAfterMs} ms (promise: 100)`)
        const event = await gateway.eventOf(answer.headers.get('sluice-call-id'))
        assert.deepEqual([event.status, event.error_code, event.http_status], ['aborted', 'client_closed', 200])
        assert.equal(event.provenance.out_text, 'estimated')
        // Four bytes a token at the provider, 3.6 in the estimate, and what was under way until the provider heard of it.
        const [estimate, generated] = [event.quantities.out_text ?? 0, bill.generated_output_tokens]
        const underWay = 8 + sawAfterMs / everyMs
        assert.ok(Math.abs(estimate - generated / 0.9) < underWay, `${estimate} of ${generated}`)
        assert.ok(generated < tokens, 'it did not go on to its end')
        assert.ok(event.cost_nano_usd > 0)
      })

      test(`drain: a client that leaves pays what the provider bills, to the token: ${name}`, async () => {
        const leaveAfterSome = async (everyMs: number) => {
          const leave = new AbortController()
          const body = bodyOf(`[[sim output_tokens=60 delay_ms=${everyMs}]]`)
          const answer = await gateway.post(path, drain.apiKey, body, { signal: leave.signal })
          await readSome(answer, 400)
          leave.abort()
          const bill = await gateway.closedBillOf(requestIdOf(answer))
          return { bill, event: await gateway.eventOf(answer.headers.get('sluice-call-id')) }
        }
        const { bill, event } = await beforeTheEnd(leaveAfterSome, each => [each.event])
        assert.equal(bill.ended, 'completed')
        assert.equal(event.status, 'aborted')
        assert.deepEqual(event.quantities, { in_text: bill.billed.input_fresh, out_text: 60 })
        assert.deepEqual(event.provenance, { in_text: 'drained', out_text: 'drained' })
        assert.equal(event.cost_nano_usd, bill.cost_nano_usd)
      })
    }

    test('cancel: a client that leaves before the provider’s head stops the provider', async t => {
      const project = await gateway.newProject({
        ownCredential: true,
        settings: { on_client_abort: { openai: 'cancel' } },
      })
      const leave = new AbortController()
      const body = { ...chat('[[sim first_delay_ms=8000]]'), stream: false }
      const answer = gateway.post('/v1/chat/completions', project.apiKey, body, { signal: leave.signal })
      await eventually(async () => (await gateway.billsOf(project))[0])
      const leftAtMs = Date.now()
      leave.abort()
      await assert.rejects(answer)
      const bill = await eventually(async () =>
        (await gateway.billsOf(project)).find(({ ended }) => ended === 'aborted'),
      )
      t.diagnostic(`the provider saw it after ${(bill.abort_seen_at_ms ?? 0) - leftAtMs} ms (promise: 100)`)
      const event = await eventually(() => gateway.eventsOf(project.projectId)[0])
      assert.deepEqual([event.status, event.http_status, event.provenance.in_text], ['aborted', 0, 'estimated'])
    })

    test('drain: a client that leaves a call that is not streamed pays what the provider bills', async () => {
      const leaveOnceAsked = async (everyMs: number) => {
        const project = await gateway.newProject({ ownCredential: true })
        const { apiKey, projectId } = project
        const leave = new AbortController()
        const text = `[[sim output_tokens=30 delay_ms=${everyMs}]]`
        const init = { signal: leave.signal }
        const answers = [
          gateway.post('/v1/chat/completions', apiKey, { ...chat(text), stream: false }, init),
          gateway.post('/anthropic/v1/messages', apiKey, { ...messages(text), stream: false }, init),
        ]
        await eventually(async () => (await gateway.billsOf(project)).length === 2)
        leave.abort()
        await Promise.allSettled(answers)
        return eventually(() => {
          const found = gateway.eventsOf(projectId)
          return found.length === 2 && found
        })
      }
      const events = await beforeTheEnd(leaveOnceAsked, each => each)
      for (const event of events) {
        assert.deepEqual(
          [event.status, event.quantities.out_text, event.provenance.out_text],
          ['aborted', 30, 'drained'],
        )
      }
    })

    test('every admitted call has one event, at whatever moment its client leaves', async () => {
      const project = await gateway.newProject({
        ownCredential: true,
        settings: { on_client_abort: { openai: 'cancel', anthropic: 'drain' } },
      })
      const callAll = (everyMs: number) =>
        Promise.all(
          Array.from({ length: 60 }, async (_, index) => {
            const leave = new AbortController()
            const text = `[[sim output_tokens=${10 + index} delay_ms=2]]`
            const isChat = index % 2 === 0
            const body = { ...(isChat ? chat(text) : messages(text)), stream: index % 3 !== 0 }
            // From before the head to behind the end; the last ones stay.
            if (index < 50) setTimeout(() => leave.abort(), index * everyMs)
            const path = isChat ? '/v1/chat/completions' : '/anthropic/v1/messages'
            try {
              const answer = await gateway.post(path, project.apiKey, body, { signal: leave.signal })
              await answer.arrayBuffer()
            } catch {
              // Left.
            }
          }),
        )
      // Whoever left while the request was under way was never admitted: what counts is what reached the provider. Where the
      // machine is slow that is few, and they leave later.
      let bills: Awaited<ReturnType<typeof gateway.billsOf>> = []
      for (let everyMs = 4; bills.length <= 30; everyMs *= 2) {
        await callAll(everyMs)
        bills = await eventually(async () => {
          const found = await gateway.billsOf(project)
          return found.every(({ ended }) => ended !== 'running') && found
        })
      }
      const events = await eventually(() => {
        const found = gateway.eventsOf(project.projectId)
        return found.length >= bills.length && found
      })
      assert.equal(new Set(events.map(event => event.event_id)).size, events.length)
      const ids = events.map(event => event.provider_request_id).filter(id => id !== undefined)
      assert.equal(new Set(ids).size, ids.length)
      assert.deepEqual([...new Set(events.map(event => event.status))].sort(), ['aborted', 'completed'])
    })
  })
}

function chat(text: string): Record<string, unknown> {
  return { model: 'gpt-5.4-mini', stream: true, messages: [{ role: 'user', content: text }] }
}
function messages(text: string): Record<string, unknown> {
  return { model: 'claude-sonnet-4-6', max_tokens: 4096, stream: true, messages: [{ role: 'user', content: text }] }
}

/** Reads until so many bytes have come. */
async function readSome(answer: Response, bytes: number): Promise<void> {
  assert.equal(answer.status, 200)
  const reader = answer.body?.getReader()
  let got = 0
  while (reader && got < bytes) got += (await reader.read()).value?.length ?? bytes
  reader?.releaseLock()
}
