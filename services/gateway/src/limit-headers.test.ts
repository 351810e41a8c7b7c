import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Budget, BudgetWindow } from '@sluice/contracts'
import { answerHeaders } from './answer-headers.ts'
import type { AdmittedCall } from './call.ts'
import { recogniseClient } from './client-app.ts'
import { codexLimitsEvent, limitHeaders, usedParts } from './limit-headers.ts'

const nowMs = Date.parse('2026-05-13T10:20:30.500Z')
const minuteEndMs = Date.parse('2026-05-13T10:21:00Z')
const dayMs = 86_400_000
const dayStartMs = Date.parse('2026-05-13T00:00:00Z')

type Wish = Partial<Budget> & { spent?: number; held?: number; endMs?: number; startMs?: number }

function callOf(
  wishes: readonly Wish[],
  userAgent: string,
  dialect: 'openai' | 'anthropic',
  left?: number,
): AdmittedCall {
  const budgets = wishes.map((wish, at) => ({
    budget: {
      budget_id: `bud_${at}`,
      name: `b${at}`,
      unit: 'requests',
      window: 'minute',
      limit: 10,
      ...wish,
    } as Budget,
    copy: '',
  }))
  const windows = wishes.map(({ spent, held = 0, endMs, startMs = 0, limit = 10 }) =>
    spent === undefined
      ? undefined
      : ({ spent, held, limit, window_start_ms: startMs, ...(endMs && { window_end_ms: endMs }) } as BudgetWindow),
  )
  return {
    callId: 'call-1',
    admittedAtMs: nowMs,
    client: recogniseClient({ userAgent }),
    match: { dialect },
    route: { servedBy: 'simulator' },
    ...(left !== undefined && { money: { leftOf: () => left } }),
    hold: {
      budgets,
      windows,
      hard: [],
      urgent: false,
      tightest: undefined,
      hasRates: budgets.some(({ budget }) => budget.window === 'minute'),
    },
  } as unknown as AdmittedCall
}
const told = (call: AdmittedCall): Record<string, string> => pairs(limitHeaders(call, nowMs))
const pairs = (flat: readonly string[]): Record<string, string> =>
  Object.fromEntries(flat.flatMap((name, at) => (at % 2 === 0 ? [[name, flat[at + 1] ?? '']] : [])))

test('a call with no rate limit, of a client without gauges, is told nothing', () => {
  assert.deepEqual(
    told(callOf([{ window: 'day', unit: 'usd', spent: 3, endMs: minuteEndMs }], 'OpenAI/JS 7', 'openai')),
    {},
  )
  assert.deepEqual(told(callOf([], 'claude-cli/2.1', 'anthropic')), {})
})

test('OpenAI’s clients are told of requests and tokens, of the limit that has least left, with the time to its reset', () => {
  const call = callOf(
    [
      { limit: 100, spent: 1, endMs: minuteEndMs },
      { limit: 10, spent: 6, held: 1, endMs: minuteEndMs },
      { unit: 'tokens', limit: 5_000, spent: 5_200, endMs: minuteEndMs },
    ],
    'OpenAI/JS 7',
    'openai',
  )
  assert.deepEqual(told(call), {
    'x-ratelimit-limit-requests': '10',
    'x-ratelimit-remaining-requests': '3',
    'x-ratelimit-reset-requests': '30s',
    'x-ratelimit-limit-tokens': '5000',
    'x-ratelimit-remaining-tokens': '0',
    'x-ratelimit-reset-tokens': '30s',
  })
})

test('Anthropic’s clients are told the time of day', () => {
  assert.deepEqual(told(callOf([{ spent: 2, endMs: minuteEndMs }], 'Anthropic/JS 1', 'anthropic')), {
    'anthropic-ratelimit-requests-limit': '10',
    'anthropic-ratelimit-requests-remaining': '8',
    'anthropic-ratelimit-requests-reset': '2026-05-13T10:21:00Z',
  })
})

test('of a hard limit, what its home has left counts, and its minute, before anything was counted', () => {
  const headers = told(callOf([{}], 'curl/8', 'openai', 4))
  assert.equal(headers['x-ratelimit-remaining-requests'], '4')
  assert.equal(headers['x-ratelimit-reset-requests'], '30s')
})

test('our limits stand in place of the provider’s, and what it alone has stays', t => {
  t.mock.timers.enable({ apis: ['Date'], now: nowMs })
  const call = callOf([{ spent: 2, endMs: minuteEndMs }], 'OpenAI/JS 7', 'openai')
  const headers = pairs(
    answerHeaders(call, ['x-ratelimit-remaining-requests', '9999', 'x-ratelimit-remaining-tokens', '77'], 5),
  )
  assert.equal(headers['x-ratelimit-remaining-requests'], '8')
  assert.equal(headers['x-ratelimit-remaining-tokens'], '77')
})

test('nothing is told of a minute that is over, nor of budgets that refuse nobody', () => {
  assert.deepEqual(told(callOf([{ spent: 9, endMs: nowMs - 1 }], 'OpenAI/JS 7', 'openai')), {})
  assert.deepEqual(limitHeaders(callOf([{}], 'OpenAI/JS 7', 'openai', 4), minuteEndMs), [])
  const alert: Wish = { window: 'day', unit: 'usd', limit: 10, spent: 10, endMs: dayStartMs + dayMs, mode: 'alert' }
  assert.deepEqual(
    told(callOf([alert, { ...alert, window: 'minute', unit: 'tokens' }], 'codex_cli_rs/1', 'openai')),
    {},
  )
})

const budgetsOfDayAndWeek: Wish[] = [
  { window: 'day', unit: 'usd', limit: 1_000, spent: 420, held: 1, startMs: dayStartMs, endMs: dayStartMs + dayMs },
  { window: 'day', unit: 'usd', limit: 1_000, spent: 10, startMs: dayStartMs, endMs: dayStartMs + dayMs },
  { window: 'month', unit: 'usd', limit: 1_000, spent: 961, startMs: dayStartMs, endMs: dayStartMs + 30 * dayMs },
]

test('Codex is told of the fullest budget up to a day and of the fullest longer one, over HTTP and in a socket’s event', () => {
  const call = callOf(budgetsOfDayAndWeek, 'codex_cli_rs/0.169.0', 'openai')
  const endS = (dayStartMs + dayMs) / 1000
  assert.deepEqual(told(call), {
    'x-codex-primary-used-percent': '42.1',
    'x-codex-primary-window-minutes': '1440',
    'x-codex-primary-reset-at': String(endS),
    'x-codex-secondary-used-percent': '96.1',
    'x-codex-secondary-window-minutes': String(30 * 1440),
    'x-codex-secondary-reset-at': String(endS + 29 * 86_400),
  })
  assert.deepEqual(JSON.parse(codexLimitsEvent(usedParts(call.hold, nowMs)) ?? ''), {
    type: 'codex.rate_limits',
    rate_limits: {
      primary: { used_percent: 42.1, window_minutes: 1440, reset_at: endS },
      secondary: { used_percent: 96.1, window_minutes: 30 * 1440, reset_at: endS + 29 * 86_400 },
    },
  })
})

test('Claude Code is told of both, warned from 75 and 95 percent, and which of them will stop it', t => {
  t.mock.timers.enable({ apis: ['Date'], now: nowMs })
  const call = callOf(budgetsOfDayAndWeek, 'claude-cli/2.1.0', 'anthropic')
  const endS = (dayStartMs + dayMs) / 1000
  const prefix = 'anthropic-ratelimit-unified'
  assert.deepEqual(told(call), {
    [`${prefix}-5h-utilization`]: '0.421',
    [`${prefix}-5h-status`]: 'allowed',
    [`${prefix}-5h-reset`]: String(endS),
    [`${prefix}-7d-utilization`]: '0.961',
    [`${prefix}-7d-status`]: 'allowed_warning',
    [`${prefix}-7d-reset`]: String(endS + 29 * 86_400),
    [`${prefix}-7d-surpassed-threshold`]: '0.950',
    [`${prefix}-status`]: 'allowed_warning',
    [`${prefix}-representative-claim`]: 'seven_day',
    [`${prefix}-reset`]: String(endS + 29 * 86_400),
  })
  const replaced = answerHeaders(call, [`${prefix}-5h-utilization`, '0.01', `${prefix}-overage-status`, 'rejected'], 5)
  assert.equal(pairs(replaced)[`${prefix}-5h-utilization`], '0.421')
  assert.equal(
    pairs(replaced)[`${prefix}-overage-status`],
    undefined,
    'of the provider’s gauges none stays beside ours',
  )
})
