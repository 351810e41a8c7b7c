import assert from 'node:assert/strict'
import { test } from 'node:test'
import { recogniseClient } from './client-app.ts'
import { refusalOfStop } from './hold-budget.ts'
import { refusalOfRate } from './rate-limit.ts'
import { Refusal, type RefusalBudget } from './refusal.ts'
import { answerRefusal, type RefusalAudience } from './refusal-answer.ts'
import { asFailedResponse } from './refusal-stream.ts'

const budget: RefusalBudget = {
  budget_id: 'bud_1',
  name: 'Team "é" daily',
  copy: '',
  scope: { project: 'p' },
  unit: 'usd',
  limit: 10_000_000,
  spent: 12_345_678,
  window: 'day',
  resets_at_ms: 7_200_000,
}
const spent = new Refusal('budget_spent', 'Budget "Team é daily" is spent, out of credits.', { budget })
const audience: RefusalAudience = {
  dialect: 'openai',
  refusalClass: 'unknown',
  callId: 'call-1',
  nowMs: 0,
  budgetStatus: undefined,
  publicOrigin: 'https://llm.example.com',
}
const headerOf = (headers: string[], name: string) =>
  headers.find((_, index) => index % 2 === 1 && headers[index - 1] === name)

test('official SDKs and Claude Code get a 429 that tells them not to retry', () => {
  for (const [userAgent, retryAfter] of [
    ['OpenAI/JS 7.57.0', '60'],
    ['Anthropic/JS 1.12.0', '60'],
    ['claude-cli/2.1.0 (external, cli)', '7200'],
  ] as const) {
    const answer = answerRefusal(spent, {
      ...audience,
      refusalClass: recogniseClient({ userAgent, stainless: true }).refusalClass,
    })
    assert.equal(answer.status, 429, userAgent)
    assert.equal(headerOf(answer.headers, 'x-should-retry'), 'false')
    assert.equal(headerOf(answer.headers, 'retry-after'), retryAfter)
  }
})

test('a budget under which a call has no bound is named, and no more of it is offered: that would not help', () => {
  const unbounded = new Refusal('budget_not_bounded', 'Nothing bounds what this one can cost.', { budget })
  const { status, headers, body } = answerRefusal(unbounded, audience)
  const { reason, budget_id, budget_name, copy, request_more } = JSON.parse(body).error.metadata
  assert.deepEqual([status, reason, budget_id, budget_name, copy], [400, unbounded.reason, 'bud_1', budget.name, ''])
  assert.deepEqual([request_more, headerOf(headers, 'sluice-request-more')], [null, undefined])
})

test('a budget without a reset names no time to wait', () => {
  const total = new Refusal('budget_spent', 'spent', {
    budget: { ...budget, window: 'total', resets_at_ms: undefined },
  })
  const answer = answerRefusal(total, { ...audience, refusalClass: 'official-sdk' })
  assert.equal(headerOf(answer.headers, 'retry-after'), undefined)
  assert.equal(headerOf(answer.headers, 'x-should-retry'), 'false')
})

test('Codex gets the error type that it treats as final', () => {
  const answer = answerRefusal(spent, {
    ...audience,
    refusalClass: recogniseClient({ userAgent: 'codex_cli_rs/0.169.0 (Debian)' }).refusalClass,
  })
  const { error } = JSON.parse(answer.body)
  assert.equal(answer.status, 429)
  assert.equal(error.type, 'usage_limit_reached')
  assert.equal(error.resets_at, 7200)
})

test('Codex finds the budget’s words where it looks for some, to be followed by the time of the reset', () => {
  const message =
    'Budget "A (b), so c" is spent: $2 of $1 (day), so this call is out of credits. It resets at 2026-05-14T00:00:00.000Z. Ask its owner to raise it.'
  const refusal = new Refusal('budget_spent', message, { budget })
  const { headers } = answerRefusal(refusal, { ...audience, refusalClass: 'codex' })
  assert.equal(
    headerOf(headers, 'x-codex-promo-message'),
    'Budget "A (b), so c" is spent: $2 of $1 (day). Ask its owner to raise it, or here: https://llm.example.com/ask/bud_1',
  )
})

test('a balance that is used up is a 402 that nobody asks again behind, and to Codex the error that it treats as final, in words', () => {
  const exhausted = refusalOfStop({
    stop_id: 's',
    account_id: 'a',
    scope: { project: 'p' },
    kind: 'balance_exhausted',
    reason: 'x',
    at_ms: 0,
  })
  for (const refusalClass of ['official-sdk', 'claude-code', 'unknown'] as const) {
    const { status, headers, body } = answerRefusal(exhausted, { ...audience, refusalClass })
    assert.deepEqual([status, JSON.parse(body).error.code], [402, 'insufficient_quota'], refusalClass)
    assert.equal(headerOf(headers, 'x-should-retry'), 'false')
    assert.match(body, /out of credits/)
  }
  const { status, headers, body } = answerRefusal(exhausted, { ...audience, refusalClass: 'codex' })
  const { error } = JSON.parse(body)
  assert.deepEqual([status, error.type, error.resets_at], [429, 'usage_limit_reached', undefined])
  assert.equal(
    headerOf(headers, 'x-codex-promo-message'),
    'The prepaid balance of this project is used up. Ask whoever runs this installation to credit it',
  )
  assert.equal(answerRefusal(exhausted, { ...audience, refusalClass: 'codex', budgetStatus: 402 }).status, 402)
})

test('every other client, MeshAgent’s too, gets 402 without a time to wait, in words it knows', () => {
  for (const userAgent of ['meshagent/0.39', 'curl/8', 'Go-http-client/2.0', '']) {
    const answer = answerRefusal(spent, { ...audience, refusalClass: recogniseClient({ userAgent }).refusalClass })
    const { error } = JSON.parse(answer.body)
    assert.equal(answer.status, 402, userAgent)
    assert.equal(headerOf(answer.headers, 'retry-after'), undefined)
    assert.equal(error.code, 'insufficient_quota')
    assert.equal(error.type, 'insufficient_quota')
    assert.match(error.message, /out of credits/)
    assert.match(headerOf(answer.headers, 'x-meshagent-error-message') ?? '', /^[\x20-\x7e]+$/)
    assert.deepEqual(error.metadata.limit, '0.01')
    assert.deepEqual(error.metadata.spent, '0.012345678')
    assert.equal(error.metadata.resets_at, '1970-01-01T02:00:00.000Z')
    assert.equal(error.metadata.my_usage, '/accounts/projects/p/llm-proxy/usage')
  }
})

test('a project can have 402 for everyone', () => {
  assert.equal(answerRefusal(spent, { ...audience, refusalClass: 'official-sdk', budgetStatus: 402 }).status, 402)
})

test('Anthropic’s dialect has its own shape and types', () => {
  const cases = [
    [spent, 'billing_error'],
    [new Refusal('unauthorized', 'm'), 'authentication_error'],
    [new Refusal('model_not_allowed', 'm'), 'permission_error'],
    [new Refusal('metering_unavailable', 'm'), 'overloaded_error'],
  ] as const
  for (const [refusal, type] of cases) {
    const body = JSON.parse(answerRefusal(refusal, { ...audience, dialect: 'anthropic' }).body)
    assert.equal(body.type, 'error')
    assert.equal(body.error.type, type)
    assert.equal(body.error.metadata.request_id, 'call-1')
  }
})

const perMinute: RefusalBudget = {
  ...budget,
  name: 'burst',
  unit: 'requests',
  limit: 10,
  spent: 9,
  held: 1,
  window: 'minute',
  resets_at_ms: 42_100,
}

test('a rate limit is a 429 that every client may try again, with its time to wait in headers and in words', () => {
  for (const refusalClass of ['official-sdk', 'claude-code', 'codex', 'unknown'] as const) {
    const answer = answerRefusal(refusalOfRate(perMinute, 100), { ...audience, refusalClass, nowMs: 100 })
    const { error } = JSON.parse(answer.body)
    assert.equal(answer.status, 429)
    assert.equal(headerOf(answer.headers, 'retry-after'), '42')
    assert.equal(headerOf(answer.headers, 'x-should-retry'), undefined)
    assert.equal(headerOf(answer.headers, 'x-ratelimit-limit-requests'), '10')
    assert.equal(headerOf(answer.headers, 'x-ratelimit-remaining-requests'), '0')
    assert.equal(headerOf(answer.headers, 'x-ratelimit-reset-requests'), '42s')
    assert.equal(error.code, 'rate_limit_exceeded')
    assert.equal(error.metadata.reason, 'rate_limited')
    // Codex finds the time in the words.
    assert.match(error.message, /^Rate limit "burst" lets 10 requests a minute pass, .* try again in 42s\.$/)
  }
  const { headers, body } = answerRefusal(refusalOfRate(perMinute, 100), {
    ...audience,
    dialect: 'anthropic',
    nowMs: 100,
  })
  assert.equal(headerOf(headers, 'anthropic-ratelimit-requests-reset'), '1970-01-01T00:00:42Z')
  assert.equal(JSON.parse(body).error.type, 'rate_limit_error')
})

test('a rate limit of one says so, and one of tokens is of that type to OpenAI’s clients', () => {
  const words = (limit: RefusalBudget) => refusalOfRate(limit, 100).message
  assert.match(words({ ...perMinute, limit: 1 }), /lets 1 request a minute pass, and it is used\./)
  assert.match(words({ ...perMinute, limit: 1, unit: 'concurrent' }), /lets 1 call at a time pass, and it is used\./)
  const tokens = answerRefusal(refusalOfRate({ ...perMinute, unit: 'tokens' }, 100), audience)
  assert.equal(JSON.parse(tokens.body).error.type, 'tokens')
})

test('a limit with copies says for whom the one is that says no', () => {
  const words = (copy: string, per: RefusalBudget['per']) => refusalOfRate({ ...perMinute, copy, per }, 100).message
  assert.match(words('mem_1', 'member'), /^Rate limit "burst" for mem_1 lets/)
  assert.match(words('unknown', 'room'), /^Rate limit "burst" for unknown lets/)
  assert.match(words('s1', 'session'), /^Rate limit "burst" for session s1 lets/)
  assert.match(words('unknown', 'session'), /^Rate limit "burst" for calls that name no session lets/)
  assert.match(words('other', 'tag:ticket'), /^Rate limit "burst" for every other tag ticket lets/)
})

test('what a header cannot say is put into what it can', () => {
  const { headers } = answerRefusal(new Refusal('unauthorized', 'Send a key (ma-…), it’s Zoë’s.'), audience)
  assert.equal(headerOf(headers, 'x-meshagent-error-message'), "Send a key (ma-...), it's Zo?'s.")
})

test('a call that is larger than its whole rate limit is told so, and not to try again', () => {
  const tokens = { ...perMinute, unit: 'tokens', limit: 1_000 } as const
  const answer = answerRefusal(refusalOfRate(tokens, 100, 4_000), { ...audience, nowMs: 100 })
  assert.equal(headerOf(answer.headers, 'x-should-retry'), 'false')
  assert.equal(headerOf(answer.headers, 'retry-after'), undefined)
  assert.match(answer.body, /this call alone needs 4000/)
})

test('a fault of ours says nothing but the call id', () => {
  const answer = answerRefusal(new Refusal('internal', 'secret stack'), audience)
  assert.equal(answer.status, 500)
  assert.doesNotMatch(answer.body, /secret/)
  assert.match(answer.body, /call-1/)
})

test('Codex is told of what is over in a moment by a response that has failed, since it ends its turn at a 429', () => {
  const codex: RefusalAudience = { ...audience, refusalClass: 'codex' }
  const asked = { endpoint: 'responses', accept: 'text/event-stream' }
  const limited = refusalOfRate({ ...budget, unit: 'requests', window: 'minute', resets_at_ms: 42_000 }, 0)
  const held = new Refusal('budget_held', 'Too many calls wait.', { retryAfterS: 1 })
  for (const [refusal, words] of [
    [limited, /try again in 42s\.$/],
    [held, /^Too many calls wait\. Please try again in 1s\.$/],
  ] as const) {
    const answer = asFailedResponse(refusal, answerRefusal(refusal, codex), codex, asked)
    assert.equal(answer?.status, 200)
    assert.equal(headerOf(answer.headers, 'content-type'), 'text/event-stream; charset=utf-8')
    assert.equal(headerOf(answer.headers, 'retry-after'), undefined)
    const [event, data] = answer.body.split('\n')
    assert.equal(event, 'event: response.failed')
    const { response } = JSON.parse(data?.slice('data: '.length) ?? '')
    assert.deepEqual([response.status, response.error.code], ['failed', 'rate_limit_exceeded'])
    assert.match(response.error.message, words)
  }
  const never = refusalOfRate({ ...budget, unit: 'tokens', limit: 5, window: 'minute' }, 0, 10)
  for (const [refusal, who, how] of [
    [limited, audience, asked],
    [limited, codex, { ...asked, accept: 'application/json' }],
    [limited, codex, { ...asked, endpoint: 'chat.completions' }],
    [spent, codex, asked],
    [never, codex, asked],
  ] as const)
    assert.equal(asFailedResponse(refusal, answerRefusal(refusal, who), who, how), undefined)
})
