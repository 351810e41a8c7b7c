import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { sized } from '@sluice/test-env/test-size'
import fc from 'fast-check'
import { openMessagesTap } from './anthropic/messages-tap.ts'
import { openChatTap } from './openai/chat-tap.ts'
import { openResponsesTap } from './openai/responses-tap.ts'
import type { StreamTap } from './stream-tap.ts'

const read = (name: string): string =>
  readFileSync(new URL(`./fixtures/${name}.sse`, import.meta.url), 'utf8').replaceAll('\r\n', '\n')

const streams: [name: string, open: () => StreamTap][] = [
  ['openai-chat-cached-and-reasoning', () => openChatTap({ model: 'gpt-5.4' })],
  ['openai-chat-tool-call', () => openChatTap({ model: 'gpt-5.4' })],
  ['openai-responses-search-and-tool-call', () => openResponsesTap({ model: 'gpt-5.5' })],
  ['anthropic-thinking-cache-and-tool-call', () => openMessagesTap({ model: 'claude-sonnet-4-6' })],
]

/** Names that no dialect has: every one of them begins alike. */
const unknownName = fc.string({ maxLength: 12 }).map(text => `future_${text}`)
const unknownValue = fc.jsonValue({ maxDepth: 3 })
const unknownMembers = fc.dictionary(unknownName, unknownValue, { minKeys: 1, maxKeys: 4 })

/** An event, comment or field of a stream that nobody has seen yet. */
const unknownEvent = fc.oneof(
  fc.tuple(unknownName, unknownMembers).map(([name, members]) => {
    const event = name.replaceAll(/\s/gu, '_')
    return `event: ${event}\ndata: ${JSON.stringify({ type: event, ...members })}\n\n`
  }),
  unknownMembers.map(members => `data: ${JSON.stringify(members)}\n\n`),
  fc.string({ maxLength: 20 }).map(text => `: ${text.replaceAll(/[\r\n]/gu, ' ')}\n\n`),
  fc.constantFrom('retry: 3000\n\n', 'id: 7\n\n', 'future: field\n\n', '\n', 'data: 12\n\n', 'data: null\n\n'),
)

const usageOf = (open: () => StreamTap, text: string) => {
  const tap = open()
  const bytes = Buffer.from(text)
  assert.equal(tap.write(bytes), bytes.length)
  return { usage: tap.usage({ inputTokens: 7 }), ended: tap.ended, failed: tap.failed, outputBytes: tap.outputBytes }
}

/** The same events, each with members that nobody knows beside its own, at its top and in every object below. */
const withMembers = (event: string, members: object): string =>
  event.replace(/^data: (\{.*\})$/m, (_, json: string) => {
    const add = (value: unknown): unknown => {
      if (Array.isArray(value)) return value.map(add)
      if (typeof value !== 'object' || value === null) return value
      return { ...members, ...Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, add(inner)])) }
    }
    const parsed = JSON.parse(json) as Record<string, unknown>
    // The provider's usage object is kept as it came, so that it stays what it was.
    const { usage, ...rest } = parsed
    return `data: ${JSON.stringify({ ...(add(rest) as object), ...(usage === undefined ? {} : { usage }) })}`
  })

for (const [name, open] of streams) {
  const text = read(name)
  const events = text.split(/(?<=\n\n)/)
  const expected = usageOf(open, text)
  /** What counts of it, leaving the raw object out, which may carry the new fields. */
  const counted = ({ usage: { raw_usage: _, ...usage }, ...rest }: typeof expected) => ({ usage, ...rest })

  test(`${name}: events and fields that nobody knows change nothing that is counted`, () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(events.length), unknownEvent), { maxLength: 12 }),
        unknownMembers,
        (inserted, members) => {
          const odd = events.map(event => withMembers(event, members))
          for (const [at, event] of inserted) odd.splice(at, 0, event)
          assert.deepEqual(counted(usageOf(open, odd.join(''))), counted(expected))
        },
      ),
      { numRuns: sized({ small: 60, full: 300 }) },
    )
  })

  test(`${name}: two events in one are two events`, () => {
    fc.assert(
      fc.property(fc.nat(events.length - 2), at => {
        const spliced = events.map((event, index) => (index === at ? event.slice(0, -1) : event)).join('')
        assert.deepEqual(usageOf(open, spliced), expected)
      }),
      { numRuns: sized({ small: 15, full: 50 }) },
    )
  })
}

test('of usage that shrinks within a stream the highest counts, and the result says that it shrank', () => {
  const chat = (usage: object) => `data: {"id":"c","choices":[],"usage":${JSON.stringify(usage)}}\n\n`
  const high = { prompt_tokens: 9, completion_tokens: 20 }
  const low = { prompt_tokens: 9, completion_tokens: 3 }
  const shrunk = usageOf(() => openChatTap({ model: 'm' }), chat(high) + chat(low))
  assert.deepEqual([shrunk.usage.quantities, shrunk.usage.shrank], [{ in_text: 9, out_text: 20 }, true])
  const grown = usageOf(() => openChatTap({ model: 'm' }), chat(low) + chat(high))
  assert.deepEqual([grown.usage.quantities, grown.usage.shrank], [{ in_text: 9, out_text: 20 }, undefined])

  const done = (tokens: number) =>
    `data: {"type":"response.completed","response":{"id":"r","usage":{"input_tokens":5,"output_tokens":${tokens}}}}\n\n`
  const response = usageOf(() => openResponsesTap({ model: 'm' }), done(8) + done(2))
  assert.deepEqual([response.usage.quantities, response.usage.shrank], [{ in_text: 5, out_text: 8 }, true])

  const delta = (tokens: number) =>
    `data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":${tokens}}}\n\n`
  const message = usageOf(() => openMessagesTap({ model: 'm' }), delta(8) + delta(2) + delta(0))
  assert.deepEqual([message.usage.quantities, message.usage.shrank], [{ out_text: 8 }, true])
})
