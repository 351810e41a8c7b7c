import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { eventually } from '@sluice/test-env'
import { type GatewayStack, requestIdOf } from '../gateway-stack.ts'

/** What a lie makes of an event, where the truth is 40 tokens out. */
interface Lie {
  name: string
  directives: string
  /** Members of the request. */
  asks?: Record<string, unknown>
  doubts: string[]
  /** Of the event; undefined: as on the provider's own bill. */
  output?: { tokens: number; provenance: string }
  input?: { provenance: string }
}

const measured = (tokens: number) => ({ tokens, provenance: 'measured' })
const estimated = (tokens: number) => ({ tokens, provenance: 'estimated' })
/** The simulator's words are tokens of the vocabulary too, but for the first one, which is two. */
const counted = 41
/** 40 tokens are 160 bytes. */
const said = Math.ceil(1600 / 36)

const lies: Lie[] = [
  { name: 'nothing at all', directives: 'fault=no_usage', doubts: ['usage_missing'], output: estimated(counted) },
  {
    name: 'zeros',
    directives: 'report_input=0 report_output=0',
    doubts: ['output_below_text', 'input_missing'],
    output: estimated(said),
    input: { provenance: 'estimated' },
  },
  {
    name: 'less than was said',
    directives: 'report_output=2',
    doubts: ['output_below_text'],
    output: measured(2),
  },
  {
    name: 'more than was asked for',
    directives: 'fault=over_limit over=30',
    asks: { limit: 10 },
    doubts: ['output_above_limit'],
  },
  { name: 'less at last than before', directives: 'fault=usage_shrinks', doubts: ['usage_shrank'] },
  { name: 'more at last than before', directives: 'fault=usage_grows', doubts: [] },
  { name: 'every event twice', directives: 'fault=duplicate', doubts: [] },
  { name: 'two events in one', directives: 'fault=spliced', doubts: [] },
]

const shapes = {
  chat: {
    path: '/v1/chat/completions',
    limit: 'max_completion_tokens',
    bodyOf: (text: string) => ({ model: 'gpt-5.4-mini', messages: [{ role: 'user', content: text }] }),
  },
  responses: {
    path: '/v1/responses',
    limit: 'max_output_tokens',
    bodyOf: (text: string) => ({ model: 'gpt-5.4-mini', input: text }),
  },
  messages: {
    path: '/anthropic/v1/messages',
    limit: 'max_tokens',
    bodyOf: (text: string) => ({
      model: 'claude-sonnet-4-6',
      max_tokens: 1000,
      messages: [{ role: 'user', content: text }],
    }),
  },
}

/** A provider whose usage is a lie: the call is never silently free, and its event says what was odd. */
export function liesAreDoubted(gateway: GatewayStack): void {
  const { apiKey } = gateway.stack

  suite('usage that is a lie', { concurrency: 4 }, () => {
    for (const [shape, { path, limit, bodyOf }] of Object.entries(shapes)) {
      for (const stream of [true, false]) {
        for (const lie of lies) {
          // A plain answer has one usage object: nothing comes before or after.
          if (!stream && /duplicate|spliced|shrinks|grows/.test(lie.directives)) continue
          test(`${shape}, ${stream ? 'streamed' : 'plain'}: a provider that tells ${lie.name} is settled and doubted`, async () => {
            const uncounted = lie.output?.tokens === counted ? await gateway.textsByBytes() : 0
            const answer = await gateway.post(path, apiKey, {
              ...bodyOf(`[[sim output_tokens=40 ${lie.directives}]]`),
              stream,
              ...(lie.asks?.limit === undefined ? {} : { [limit]: lie.asks.limit }),
            })
            await answer.arrayBuffer()
            const event = await gateway.eventOf(answer.headers.get('sluice-call-id'))
            const bill = await gateway.closedBillOf(requestIdOf(answer))
            // The first event of Messages tells one token of output, whatever its last one tells.
            const isPartlyTold = shape === 'messages' && stream && lie.directives.includes('report_output=0')
            assert.equal(event.status, 'completed')
            assert.deepEqual(event.doubts ?? [], isPartlyTold ? doubtsOfOne : lie.doubts)
            const output = isPartlyTold ? measured(1) : (lie.output ?? measured(bill.billed.output))
            assert.equal(event.provenance.out_text, output.provenance)
            // Bytes do where the gateway says that it had no time to count, and nowhere else.
            const mayBeBytes = output.tokens === counted && (await gateway.textsByBytes()) > uncounted
            assert.ok(
              event.quantities.out_text === output.tokens || (mayBeBytes && event.quantities.out_text === said),
              `${event.quantities.out_text}, not ${output.tokens}`,
            )
            const missing = lie.doubts.includes('usage_missing')
            assert.equal(event.provenance.in_text, lie.input?.provenance ?? (missing ? 'estimated' : 'measured'))
            if (!missing && !lie.input) assert.equal(event.quantities.in_text, bill.billed.input_fresh)
            assert.equal(event.raw_usage === null, missing, 'the provider’s own numbers are kept')
            assert.ok((event.quantities.in_text ?? 0) > 0 && event.cost_nano_usd > 0, 'nothing is free')
          })
        }
      }
    }

    test('a tier that the request does not insist on is priced as served and named', async () => {
      const ask = async (more: object) => {
        const answer = await gateway.post('/v1/chat/completions', apiKey, {
          ...shapes.chat.bodyOf('[[sim output_tokens=40 tier=priority]]'),
          ...more,
        })
        await answer.arrayBuffer()
        const event = await gateway.eventOf(answer.headers.get('sluice-call-id'))
        const bill = await gateway.closedBillOf(requestIdOf(answer))
        assert.deepEqual([event.cost_nano_usd, event.modifiers.service_tier], [bill.cost_nano_usd, 'priority'])
        return event.doubts ?? []
      }
      assert.deepEqual(await ask({ service_tier: 'flex' }), ['tier_not_asked'])
      assert.deepEqual(await ask({ service_tier: 'auto' }), [])
      assert.deepEqual(await ask({}), [])
    })

    test('embeddings whose provider tells zero or nothing are estimated', async () => {
      for (const [directives, doubt] of [
        ['report_input=0', 'input_missing'],
        ['fault=no_usage', 'usage_missing'],
      ]) {
        const answer = await gateway.post('/v1/embeddings', apiKey, {
          model: 'text-embedding-3-small',
          input: `some words [[sim ${directives}]]`,
        })
        await answer.arrayBuffer()
        const event = await gateway.eventOf(answer.headers.get('sluice-call-id'))
        assert.deepEqual([event.doubts, event.provenance.in_text], [[doubt], 'estimated'])
        assert.ok((event.quantities.in_text ?? 0) > 0)
      }
    })

    test('doubts are counted for the operator', async () => {
      await eventually(async () =>
        /gateway_usage_doubts_total\{doubt="usage_shrank"\} [1-9]/.test(await gateway.metrics()),
      )
    })
  })
}

const doubtsOfOne = ['output_below_text', 'input_missing']
