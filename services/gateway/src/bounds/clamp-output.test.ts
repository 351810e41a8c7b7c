import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { readCall } from '../../test/bounds/bound-witness.ts'
import { clampOutput } from './clamp-output.ts'

/** The limit that `output` gives the request, and its members beside the limits. */
function clamp(name: string, request: object, output: number) {
  const json = JSON.stringify(request)
  const { bound } = readCall(name, json)
  assert.ok(bound.clamp)
  const clamped = clampOutput(Buffer.from(json), bound.clamp, output)
  return clamped && (JSON.parse(clamped.body.toString()) as Record<string, unknown>)
}

const messages = [{ role: 'user', content: 'Hello' }]

test('the limit goes where one stands, else where the endpoint has it', () => {
  const cases: [name: string, request: object, expected: object][] = [
    ['chat.completions', { model: 'gpt-5.4', messages }, { max_completion_tokens: 2_000 }],
    ['chat.completions', { model: 'gpt-4o', messages }, { max_completion_tokens: 2_000 }],
    ['chat.completions', { model: 'gpt-4o', messages, max_tokens: 9_000 }, { max_tokens: 2_000 }],
    ['chat.completions', { model: 'gpt-4o', messages, max_tokens: null }, { max_tokens: 2_000 }],
    [
      'chat.completions',
      { model: 'gpt-4o', messages, max_tokens: 9_000, max_completion_tokens: 3_000 },
      { max_tokens: 2_000, max_completion_tokens: 2_000 },
    ],
    ['chat.completions', { model: 'gpt-4o', messages, n: 4 }, { max_completion_tokens: 500 }],
    ['responses', { model: 'gpt-5.4', input: 'Hello' }, { max_output_tokens: 2_000 }],
    ['messages', { model: 'claude-opus-4-5', messages, max_tokens: 64_000 }, { max_tokens: 2_000 }],
    ['complete', { model: 'claude-2', prompt: 'Hello', max_tokens_to_sample: 4_000 }, { max_tokens_to_sample: 2_000 }],
  ]
  for (const [name, request, expected] of cases)
    assert.deepEqual(clamp(name, request, 2_000), { ...request, ...expected })
})

test('thoughts keep their budget, and an answer too short to be of use is none', () => {
  const thinking = { type: 'enabled', budget_tokens: 4_000 }
  const request = { model: 'claude-opus-4-5', messages, max_tokens: 64_000, thinking }
  assert.equal(clamp('messages', request, 5_024)?.max_tokens, 5_024)
  assert.equal(clamp('messages', request, 5_023), undefined)
  assert.equal(clamp('messages', { ...request, max_tokens: 4_100 }, 4_100)?.max_tokens, 4_100)
  assert.equal(clamp('chat.completions', { model: 'gpt-4o', messages }, 255), undefined)
  assert.equal(clamp('chat.completions', { model: 'gpt-4o', messages, n: 4 }, 1_023), undefined)
  assert.equal(clamp('chat.completions', { model: 'gpt-5.4', messages }, 1_023), undefined)
  assert.equal(clamp('chat.completions', { model: 'gpt-4o', messages, max_tokens: 20 }, 20)?.max_tokens, 20)
})

test('every other byte of the request stays as it came', () => {
  const requests = fc.record({
    before: fc.dictionary(
      fc.string().filter(name => !/^(max_|n$|best_of$|model$)/.test(name)),
      fc.jsonValue(),
    ),
    limit: fc.option(fc.oneof(fc.nat(100_000), fc.constant(null), fc.constant('many')), { nil: undefined }),
    spaces: fc.nat(2),
  })
  fc.assert(
    fc.property(requests, ({ before, limit, spaces }) => {
      const request = { model: 'm', ...before, ...(limit !== undefined && { max_completion_tokens: limit }) }
      const json = JSON.stringify(request, undefined, spaces)
      const place = { members: ['max_completion_tokens'], choices: 1, leastEach: 256 }
      const clamped = clampOutput(Buffer.from(json), place, 777)
      assert.ok(clamped)
      const written = clamped.body.toString()
      assert.deepEqual(JSON.parse(written), { ...JSON.parse(json), max_completion_tokens: 777 })
      const rest =
        limit === undefined
          ? written.replace(/,"max_completion_tokens":777\}$/, '}')
          : written.replace(/("max_completion_tokens": ?)777/, `$1${JSON.stringify(limit)}`)
      assert.equal(rest, json)
    }),
  )
})
