import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { UsageRecordedData } from '@sluice/contracts'
import type { BillRecord } from '@sluice/simulator'
import { beforeTheEnd } from '../before-the-end.ts'
import { type GatewayStack, requestIdOf, type TestProject } from '../gateway-stack.ts'

interface TextPath {
  name: string
  path: string
  mounts: readonly string[]
  /** A request with these directives. */
  bodyOf: (directives: string) => Record<string, unknown>
  streams: boolean
  settles: 'to the bill' | 'by estimate' | 'for nothing'
}

const openaiMounts = ['/openai/v1', '/v1', '/rooms/lobby/openai/v1', '/rooms/lobby/v1']
const anthropicMounts = ['/anthropic/v1', '/rooms/lobby/anthropic/v1']

const input = (directives: string) => ({
  model: 'gpt-5.4-mini',
  input: `Tell me of the sea. [[sim ${directives}]]`,
})
const messages = (directives: string) => ({
  model: 'claude-haiku-4-5',
  messages: [{ role: 'user', content: `Tell me of the sea. [[sim ${directives}]]` }],
})

export const textPaths: readonly TextPath[] = [
  {
    name: 'chat.completions',
    path: '/chat/completions',
    mounts: openaiMounts,
    bodyOf: directives => ({ ...messages(directives), model: 'gpt-5.4-mini' }),
    streams: true,
    settles: 'to the bill',
  },
  {
    name: 'responses',
    path: '/responses',
    mounts: openaiMounts,
    bodyOf: input,
    streams: true,
    settles: 'to the bill',
  },
  {
    name: 'responses.compact',
    path: '/responses/compact',
    mounts: openaiMounts,
    bodyOf: input,
    streams: false,
    settles: 'to the bill',
  },
  {
    name: 'responses.input_tokens',
    path: '/responses/input_tokens',
    mounts: openaiMounts,
    bodyOf: input,
    streams: false,
    settles: 'for nothing',
  },
  {
    name: 'embeddings',
    path: '/embeddings',
    mounts: openaiMounts,
    bodyOf: directives => ({ ...input(directives), model: 'text-embedding-3-small' }),
    streams: false,
    settles: 'to the bill',
  },
  {
    name: 'messages',
    path: '/messages',
    mounts: anthropicMounts,
    bodyOf: directives => ({ ...messages(directives), max_tokens: 4_096 }),
    streams: true,
    settles: 'to the bill',
  },
  {
    name: 'messages.count_tokens',
    path: '/messages/count_tokens',
    mounts: anthropicMounts,
    bodyOf: messages,
    streams: false,
    settles: 'for nothing',
  },
  {
    name: 'complete',
    path: '/complete',
    mounts: anthropicMounts,
    bodyOf: directives => ({
      model: 'claude-haiku-4-5',
      max_tokens_to_sample: 4_096,
      prompt: `\n\nHuman: ${'Tell me of the sea. '.repeat(20)}[[sim ${directives}]]\n\nAssistant:`,
    }),
    streams: true,
    settles: 'by estimate',
  },
]

/** Each path at each mount point, plain and streamed: one event, which says what the provider's own bill says. */
export function textPathsSettle(gateway: GatewayStack, project: TestProject): void {
  const call = async (url: string, body: unknown) => {
    const answer = await gateway.post(url, project.apiKey, body)
    const text = await answer.text()
    assert.equal(answer.status, 200, text)
    return { answer, text, event: await gateway.eventOf(answer.headers.get('sluice-call-id')) }
  }

  suite('paths of text', { concurrency: 4 }, () => {
    for (const row of textPaths) {
      for (const stream of row.streams ? [false, true] : [false]) {
        const streamed = {
          stream,
          ...(row.name === 'chat.completions' ? { stream_options: { include_usage: true } } : {}),
        }
        const bodyOf = (directives: string) => ({ ...row.bodyOf(directives), ...(stream ? streamed : {}) })
        const how = `${row.name}${stream ? ', streamed' : ''}`

        test(`${how}: at every mount point the event says what the provider bills`, async t => {
          for (const mount of row.mounts) {
            const url = `${mount}${row.path}?beta=true&x=a%20b`
            const { answer, event } = await call(url, bodyOf('output_tokens=90'))
            assert.deepEqual([event.endpoint, event.status, event.streamed], [row.name, 'completed', stream])
            assert.equal(event.identity.room, mount.startsWith('/rooms/') ? 'lobby' : undefined)
            const bill = await gateway.closedBillOf(requestIdOf(answer))
            t.diagnostic(settledAs(row.settles, event, bill))
            const { target } = await gateway.arrived(requestIdOf(answer))
            assert.ok(target.endsWith(`${row.path}?beta=true&x=a%20b`), target)
          }
        })

        test(`${how}: what nobody knows yet passes byte for byte and breaks no metering`, async () => {
          const { answer, text, event } = await call(`${row.mounts[0]}${row.path}`, bodyOf('fault=unknown'))
          const direct = await fetch(
            `${gateway.stack.simulatorUrl}${row.mounts[0]?.replace('/openai', '')}${row.path}`,
            {
              method: 'POST',
              headers: { authorization: 'Bearer direct', 'content-type': 'application/json' },
              body: JSON.stringify(bodyOf('fault=unknown')),
            },
          )
          // The simulator's ids and clock are what differs between two calls.
          const alike = (answered: string) =>
            answered.replaceAll(/req_sim_\w+/g, 'id').replaceAll(/"(created|created_at|completed_at)":\d+/g, '"$1":0')
          assert.ok(alike(text) === alike(await direct.text()), text.slice(0, 2_000))
          settledAs(row.settles, event, await gateway.closedBillOf(requestIdOf(answer)))
        })
      }

      test(`${row.name}: a slash behind it, another method and another spelling are refused`, async () => {
        const [mount] = row.mounts
        const headers = { authorization: `Bearer ${project.apiKey}` }
        for (const [method, path] of [
          ['POST', `${row.path}/`],
          ['PUT', row.path],
          ['DELETE', row.path],
          ['POST', row.path.toUpperCase()],
          ['POST', `/${row.path}`],
        ] as const) {
          const answer = await fetch(`${gateway.url}${mount}${path}`, { method, headers })
          assert.equal(answer.status, 400, `${method} ${path}`)
          assert.match(await answer.text(), /path_not_supported/)
        }
      })
    }
  })

  suite('legacy completions', { concurrency: 2 }, () => {
    const bodyOf = textPaths.find(row => row.name === 'complete')?.bodyOf ?? assert.fail()

    test('a client that leaves a drained one pays for all its words, estimated', async () => {
      const leaveAfterSome = async (everyMs: number) => {
        const leave = new AbortController()
        const body = { ...bodyOf(`output_tokens=60 delay_ms=${everyMs}`), stream: true }
        const answer = await gateway.post('/anthropic/v1/complete', project.apiKey, body, { signal: leave.signal })
        await answer.body?.getReader().read()
        leave.abort()
        const bill = await gateway.closedBillOf(requestIdOf(answer))
        return { bill, event: await gateway.eventOf(answer.headers.get('sluice-call-id')) }
      }
      const { bill, event } = await beforeTheEnd(leaveAfterSome, each => [each.event], 10)
      assert.equal(event.status, 'aborted')
      settledAs('by estimate', event, bill)
    })

    test('a long prompt without a space costs what it says, not what an image would', async () => {
      const prompt = `\n\nHuman: ${'今天天气很好我们去公园散步吧'.repeat(700)} [[sim output_tokens=1]]\n\nAssistant:`
      const { answer, event } = await call('/anthropic/v1/complete', { ...bodyOf(''), prompt })
      const bill = await gateway.closedBillOf(requestIdOf(answer))
      const [told, billed] = [event.quantities.in_text ?? 0, bill.billed.input_fresh]
      assert.ok(told > billed / 2 && told < billed * 2, `${told} tokens, the provider counts ${billed}`)
    })

    test('an overloaded provider costs nothing, whole or in a stream', async () => {
      for (const stream of [false, true]) {
        const body = { ...bodyOf('fault=overloaded'), stream }
        const answer = await gateway.post('/anthropic/v1/complete', project.apiKey, body)
        await answer.text()
        const event = await gateway.eventOf(answer.headers.get('sluice-call-id'))
        assert.deepEqual([event.status, event.cost_nano_usd], ['failed', 0])
      }
    })
  })
}

/** @returns the ratio to the bill, for the record */
function settledAs(settles: TextPath['settles'], event: UsageRecordedData, bill: BillRecord): string {
  if (settles === 'for nothing') {
    assert.deepEqual([event.quantities, event.cost_nano_usd, bill.cost_nano_usd], [{}, 0, 0])
    return 'free'
  }
  assert.ok(event.priced && event.cost_nano_usd > 0)
  if (settles === 'to the bill') {
    assert.equal(event.cost_nano_usd, bill.cost_nano_usd)
    assert.ok(Object.values(event.provenance).every(mark => mark === 'measured'))
    return `${event.cost_nano_usd} nano-USD`
  }
  assert.deepEqual(event.provenance, { in_text: 'estimated', out_text: 'estimated' })
  // Four bytes a token at the provider, 3.6 in the estimate, and the JSON around the prompt.
  const [output, billed] = [event.quantities.out_text ?? 0, bill.billed.output]
  assert.ok(output >= billed && output <= Math.ceil(billed / 0.9), `${output} of ${billed} tokens`)
  const ratio = event.cost_nano_usd / bill.cost_nano_usd
  assert.ok(ratio >= 1 && ratio < 1.35, `${ratio} of the bill`)
  return `${event.cost_nano_usd} of ${bill.cost_nano_usd} nano-USD: ${ratio.toFixed(2)}`
}
