import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Cutoff } from '@sluice/contracts'
import type { MatchedBudget } from './budget-index.ts'
import { type LiveCall, LiveCalls } from './live-calls.ts'
import { Refusal } from './refusal.ts'

function call(calls: LiveCalls, keyId: string, cut: string[]): LiveCall {
  const live: LiveCall = {
    identity: { account_id: 'a', project_id: 'p', team_id: 't', key_id: keyId, credential_kind: 'key' },
    budgets: [],
    claimed: {},
    isCharged: true,
    place: -1,
    cut: order => {
      cut.push(`${keyId}:${order.refusal.reason}`)
      calls.remove(live)
    },
  }
  calls.add(live)
  return live
}

const order = () => ({ refusal: new Refusal('credential_revoked', 'gone'), style: 'explicit' as const })

test('exactly the picked calls are cut, though each leaves while the others are looked at', () => {
  const calls = new LiveCalls(assert.ifError)
  const cut: string[] = []
  for (const key of ['a', 'b', 'a', 'a', 'c', 'a']) call(calls, key, cut)
  assert.equal(
    calls.cutWhere(live => live.identity.key_id === 'a', order),
    4,
  )
  assert.deepEqual(cut, Array(4).fill('a:credential_revoked'))
  assert.equal(calls.size, 2)
})

test('a call that fails to end keeps no other running, and the fault is told', () => {
  const faults: unknown[] = []
  const calls = new LiveCalls(error => faults.push(error))
  const cut: string[] = []
  call(calls, 'a', cut)
  const faulty = call(calls, 'b', cut)
  call(calls, 'c', cut)
  const fault = new Error('a fault of ours')
  faulty.cut = () => {
    throw fault
  }
  assert.equal(
    calls.cutWhere(() => true, order),
    3,
  )
  assert.deepEqual([cut, faults], [['a:credential_revoked', 'c:credential_revoked'], [fault]])
  assert.equal(calls.size, 1)
})

test('a spent copy of a budget ends who counts in it, in whichever of several, and who began before it was made', () => {
  const calls = new LiveCalls(assert.ifError)
  const cut: string[] = []
  const seat = (copy: string) => ({ budget: { budget_id: 'b' } as MatchedBudget['budget'], copy })
  Object.assign(call(calls, 'batch', cut), { budgets: [seat('x'), seat('y')] })
  Object.assign(call(calls, 'elsewhere', cut), { budgets: [seat('x')] })
  call(calls, 'earlier', cut)
  call(calls, 'other', cut)
  const running = {
    copyOf: ({ copy }: MatchedBudget) => copy,
    madeLater: (_: string, { identity }: LiveCall) => {
      assert.notEqual(identity.key_id, 'elsewhere')
      return identity.key_id === 'earlier' ? seat('y') : identity.key_id === 'other' ? seat('x') : undefined
    },
  }
  assert.equal(calls.cutBudget({ budget_id: 'b', copy: 'y' } as Cutoff, order, running), 2)
  assert.deepEqual(cut.sort(), ['batch:credential_revoked', 'earlier:credential_revoked'])
})

test('a call is taken out once, whichever order calls end in', () => {
  const calls = new LiveCalls(assert.ifError)
  const [a, b, c] = ['a', 'b', 'c'].map(key => call(calls, key, [])) as [LiveCall, LiveCall, LiveCall]
  calls.remove(a)
  calls.remove(a)
  assert.equal(calls.size, 2)
  calls.remove(c)
  calls.remove(b)
  assert.equal(calls.size, 0)
})

test('waiting for the last call ends with it, or at its deadline', async () => {
  const calls = new LiveCalls(assert.ifError)
  const live = call(calls, 'a', [])
  assert.equal(await calls.whenIdle(5), false)
  const idle = calls.whenIdle(60_000)
  calls.remove(live)
  assert.equal(await idle, true)
  assert.equal(await calls.whenIdle(0), true)
})
