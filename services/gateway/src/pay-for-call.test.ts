import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Budget, LeaseAnswer } from '@sluice/contracts'
import { createWindowFinder, homeOfBudget, type OpenAsk, WaitingLine, Wallet } from '@sluice/leases'
import { readCall } from '../test/bounds/bound-witness.ts'
import { CountedPrompts } from './bounds/counted-prompts.ts'
import type { AdmittedCall } from './call.ts'
import { SpareMoney } from './leases/spare-money.ts'
import type { LeaseDeps } from './leases/take-money.ts'
import { TokenLengths } from './leases/token-lengths.ts'
import { UnknownAllowance } from './leases/unknown-allowance.ts'
import { type PaidCall, payForCall } from './pay-for-call.ts'
import type { Refusal } from './refusal.ts'

const budget = {
  budget_id: 'bud_1',
  name: 'a day',
  scope: { project: 'p' },
  unit: 'usd',
  window: 'day',
  time_zone: 'UTC',
  hold: 'paced',
  on_unknown: 'deny',
} as unknown as Budget
const dollar = 1_000_000_000
const told = { budget_id: 'bud_1', copy: '', window_start_ms: 0, limit: dollar, spent: 40, held: 2, updated_at_ms: 0 }

/**
 * A gateway, and the home of its only budget, of which so much is left in nano-USD and the rest is held by others.
 * @param home.busyWith what it answers instead: others, or nobody
 * @param onUnknown what the budget says of that
 */
function begin(
  t: TestContext,
  home: { left: number; busyWith?: 'others' | 'nobody' },
  onUnknown: Budget['on_unknown'] = 'deny',
) {
  t.mock.timers.enable({ apis: ['Date'], now: 120_000 })
  const wallet = new Wallet({ gatewayId: 'gw_a', epoch: 1 })
  const send = ({ message }: OpenAsk): void => {
    if (home.busyWith) return
    const [item] = message.items
    const granted = Math.min(home.left, item?.want ?? 0)
    const isHeld = granted < (item?.need ?? 0)
    if (!isHeld) home.left -= granted
    const about = { budget_id: 'bud_1', copy: '', window_start_ms: 0, need: item?.need ?? 0 }
    const answer: LeaseAnswer = {
      seq: message.seq,
      term: 1,
      grants: isHeld ? [] : [{ lease_id: 'l', amount: granted, left: home.left, held: dollar }],
      ...(isHeld && {
        refusal: { reason: 'held', limit: dollar, spent: 0, held: dollar, retry_after_ms: 200, ...about },
      }),
    }
    queueMicrotask(() => {
      wallet.answer(answer, Date.now())
      line.answered(answer, Date.now())
    })
  }
  const line = new WaitingLine(wallet, { send })
  const leases: LeaseDeps = {
    client: { wallet, line, send, spare: new SpareMoney() } as unknown as LeaseDeps['client'],
    copies: { noteOther: () => {}, findWindow: () => told },
    findWindow: createWindowFinder(),
    allowance: new UnknownAllowance(),
    tokenLengths: new TokenLengths(),
    countText: text => text.length / 4,
  }
  const prompts = new CountedPrompts()
  const journal = { extend: () => true, secured: undefined }
  const pay = (name: string, request: object, origin = 'https://provider.test', hold = budget.hold) => {
    const { request: asked, call } = readCall(name, JSON.stringify(request))
    const admitted = {
      eventId: 'attempt',
      match: { dialect: call.dialect },
      endpoint: call.endpoint,
      requestedModel: call.model,
      prices: call.prices,
      principal: { project: { project_id: 'p', unpriced: 'refuse' } },
      route: { provider: call.dialect, access: 'int_1', origin, basePath: '' },
      admittedAtMs: Date.now(),
      streamed: asked.streamed,
      hold: { hard: [{ budget: { ...budget, hold, on_unknown: onUnknown }, copy: '' }] },
    } as unknown as AdmittedCall
    const paying = payForCall({ leases, prompts, journal }, admitted, asked)
    assert.ok(paying instanceof Promise, 'the gateway holds nothing yet')
    const ended: { paid?: PaidCall; refusal?: Refusal } = {}
    paying.then(
      paid => Object.assign(ended, { paid }),
      refusal => Object.assign(ended, { refusal }),
    )
    return ended
  }
  /** Time passes, as the gateway looks at who waits each 100 ms. */
  const pass = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += 100) {
      t.mock.timers.tick(100)
      if (home.busyWith === 'others') answerAnother(wallet)
      line.poll(Date.now())
      await new Promise(resolve => setImmediate(resolve))
    }
  }
  return { pay, pass, home }
}

function answerAnother(wallet: Wallet): void {
  const name = { budgetId: 'bud_of_others', copy: '', windowStartMs: 0, windowEndMs: undefined, isConcurrent: false }
  const { asks } = wallet.ask(
    [{ pool: wallet.pool({ ...name, home: homeOfBudget(budget) }), want: 1, need: 1 }],
    Date.now(),
  )
  const [ask] = asks
  assert.ok(ask)
  wallet.answer({ seq: ask.message.seq, term: 1, grants: [] }, Date.now())
}

test('a call that nothing bounds is refused by an exact budget, which stands in the refusal as in any other', t => {
  const { pay } = begin(t, { left: dollar })
  const request = { model: 'gpt-4o', input: 'x', tools: [{ type: 'web_search' }] }
  assert.throws(
    () => pay('responses', request, undefined, 'exact'),
    ({ reason, message, budget: told }: Refusal) => {
      assert.match(message, /^Budget "a day" holds all that a call can cost before it is sent.*max_tool_calls/)
      assert.deepEqual(
        [reason, told?.budget_id, told?.limit, told?.spent, told?.held, told?.resets_at_ms],
        ['budget_not_bounded', 'bud_1', dollar, 40, 2, 86_400_000],
      )
      return true
    },
  )
})

const words = 'All that there is to say. '.repeat(1_000)
const asked = { stream: true, messages: [{ role: 'user', content: words }] }

test('a call whose tokens nobody here can count waits for what others hold as long as any other', async t => {
  const { pay, pass, home } = begin(t, { left: 0 })
  const call = pay('messages', { model: 'claude-opus-4-5', max_tokens: 2_000, ...asked })
  await pass(1_500)
  assert.deepEqual(call, {})
  home.left = dollar
  await pass(300)
  assert.equal(call.paid?.clampedTo, undefined)
  assert.ok(call.paid)
})

for (const [busyWith, reason] of [
  ['others', 'budget_held'],
  ['nobody', 'budget_unavailable'],
] as const)
  test(`a call whose budget’s home answers ${busyWith} for 2 s is refused: ${reason}`, async t => {
    const { pay, pass, home } = begin(t, { left: dollar })
    const first = pay('messages', { model: 'claude-opus-4-5', max_tokens: 20, ...asked })
    await pass(100)
    assert.ok(first.paid)
    home.busyWith = busyWith
    const call = pay('messages', { model: 'claude-opus-4-5', max_tokens: 60_000, ...asked })
    await pass(1_800)
    assert.deepEqual(call, {})
    await pass(200)
    assert.equal(call.refusal?.reason, reason, call.refusal?.message)
    assert.equal(call.refusal?.retryAfterS, 1)
    assert.deepEqual(call.refusal?.budget, {
      ...{ budget_id: budget.budget_id, name: budget.name, copy: '', per: undefined },
      ...{ scope: budget.scope, unit: budget.unit },
      ...{ window: budget.window, resets_at_ms: 86_400_000, limit: dollar, spent: 40, held: 2 },
    })
    assert.ok(call.refusal?.message.includes(`"${budget.name}"`), call.refusal?.message)
  })

test('calls go on without money while its home is silent, up to what the budget allows for that, and no further', async t => {
  const { pay, pass } = begin(t, { left: dollar, busyWith: 'nobody' }, { allow_up_to: 200_000_000 })
  const request = { model: 'claude-opus-4-5', max_tokens: 20, ...asked }
  const first = pay('messages', request)
  await pass(2_500)
  assert.deepEqual([first.paid?.clampedTo, first.paid?.money.budgets], [undefined, []], 'nothing is held for it')
  // Both come to more than the budget lets go on without.
  const second = pay('messages', request)
  await pass(2_500)
  assert.equal(second.refusal?.reason, 'budget_unavailable')
  assert.match(
    second.refusal?.message ?? '',
    /cannot be asked right now, and what calls may use of it without an answer/,
  )
})

test('a call is held to what its budget’s home has said before it fell silent; the next goes on as the budget lets it', async t => {
  const { pay, pass, home } = begin(t, { left: 0 }, { allow_up_to: 10 * dollar })
  const request = { model: 'claude-opus-4-5', max_tokens: 2_000, ...asked }
  const call = pay('messages', request)
  await pass(300)
  home.busyWith = 'nobody'
  await pass(1_600)
  assert.deepEqual(call, {})
  await pass(100)
  assert.equal(call.refusal?.reason, 'budget_held', call.refusal?.message)
  assert.match(call.refusal?.message ?? '', /is held by calls that run now/)
  const next = pay('messages', request)
  await pass(2_000)
  assert.ok(next.paid, next.refusal?.message)
})

for (const [name, thinking, model] of [
  ['that does not think', undefined, 'claude-sonnet-4-6'],
  ['that is told not to think', { type: 'disabled' }, 'claude-opus-5'],
] as const)
  test(`a Messages stream ${name} begins with a tranche where money is short, and is sent as it came`, async t => {
    const request = { model, max_tokens: 32_000, ...asked, ...(thinking && { thinking }) }
    const { bound } = readCall('messages', JSON.stringify(request))
    const { pay, pass } = begin(t, { left: bound.amount('usd', 3_000) })
    const call = pay('messages', request)
    await pass(100)
    assert.equal(call.paid?.clampedTo, undefined)
    assert.equal(call.paid?.money.heldOf(0), bound.amount('usd', 1_024))
  })

for (const [name, thinking, model] of [
  ['that thinks as it likes', { type: 'adaptive' }, 'claude-sonnet-4-6'],
  ['whose model thinks unasked', undefined, 'claude-opus-5'],
] as const)
  test(`a Messages stream ${name} is not paid for as it goes on: its thoughts are not seen`, async t => {
    const request = { model, max_tokens: 32_000, ...asked, ...(thinking && { thinking }) }
    const { bound } = readCall('messages', JSON.stringify(request))
    const { pay, pass } = begin(t, { left: bound.amount('usd', 3_000) })
    const call = pay('messages', request)
    await pass(1_100)
    assert.equal(call.paid?.clampedTo, 3_000)
  })

test('what was counted at one address of an integration says nothing of a prompt that goes to another', async t => {
  const { pay, pass } = begin(t, { left: 1_000 * dollar })
  const request = { model: 'claude-sonnet-4-6', max_tokens: 100, ...asked }
  const usage = { quantities: { in_text: 20 }, provenance: { in_text: 'measured' as const } }
  const first = pay('messages', request, 'https://cheap.test')
  await pass(100)
  first.paid?.prompt?.learn('int_1 https://cheap.test', usage)
  const learned = async (origin: string) => {
    const call = pay('messages', request, origin)
    await pass(100)
    return call.paid?.prompt?.counted?.tokens
  }
  assert.deepEqual([await learned('https://cheap.test'), await learned('https://provider.test')], [20, undefined])
})
