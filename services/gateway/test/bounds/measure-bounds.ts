import { boundTextCall } from '../../src/bounds/call-bound.ts'
import { readCall } from './bound-witness.ts'

// CPU of bounding one call and asking it what admission with eight budgets asks. Run by hand: node measure-bounds.ts

const prose = 'The quick brown fox jumps over the lazy dog, and nobody minds. '
const cases: readonly [what: string, endpoint: string, request: object][] = [
  [
    'chat of 1 kB',
    'chat.completions',
    { model: 'gpt-4o', max_tokens: 500, messages: [{ role: 'user', content: prose.repeat(16) }] },
  ],
  ['chat of 8 kB', 'chat.completions', { model: 'gpt-5.4', messages: [{ role: 'user', content: prose.repeat(130) }] }],
  [
    'message of 8 kB in pieces, cached',
    'messages',
    {
      model: 'claude-opus-4-8',
      max_tokens: 4_000,
      messages: [
        { role: 'user', content: [{ type: 'text', text: prose.repeat(130), cache_control: { type: 'ephemeral' } }] },
      ],
    },
  ],
  ['response of 8 kB', 'responses', { model: 'gpt-5.4', input: prose.repeat(130) }],
  [
    'chat of 4 kB of Chinese',
    'chat.completions',
    { model: 'gpt-4o', messages: [{ role: 'user', content: '山海经'.repeat(450) }] },
  ],
]

for (const [what, endpoint, request] of cases) {
  const { call } = readCall(endpoint, JSON.stringify(request))
  let sum = 0
  const once = (): void => {
    const bound = boundTextCall(call)
    for (let budget = 0; budget < 8; budget++) {
      const unit = budget % 2 === 0 ? 'usd' : 'tokens'
      sum += bound.amount(unit, bound.outputTokens) + bound.amount(unit, bound.leastOutputTokens)
    }
  }
  for (let i = 0; i < 20_000; i++) once()
  const rounds = 50_000
  const before = process.cpuUsage()
  for (let i = 0; i < rounds; i++) once()
  const { user, system } = process.cpuUsage(before)
  console.log(`${((user + system) / rounds).toFixed(2)} µs  ${what}${sum > 0 ? '' : '?'}`)
}
