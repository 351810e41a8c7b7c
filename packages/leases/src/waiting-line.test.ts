import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type LeaseAnswer, leaseIdOf } from '@sluice/contracts'
import { type OpenAsk, type Waited, WaitingLine, Wallet } from './index.ts'

const now = 1_000_000

function newLine() {
  const wallet = new Wallet({ gatewayId: 'gw', epoch: 1 })
  const asks: OpenAsk[] = []
  const line = new WaitingLine(wallet, { send: ask => asks.push(ask) })
  const ended: Record<string, Waited['outcome']> = {}
  const given: Record<string, readonly number[]> = {}
  const poolOf = (budgetId: string) =>
    wallet.pool({ budgetId, copy: '', windowStartMs: 0, windowEndMs: undefined, home: 0, isConcurrent: false })
  return {
    line,
    wallet,
    ended,
    given,
    wait: (
      attemptId: string,
      budgetId: string,
      want: number,
      about: { need?: number; wholeMs?: number; heldMs?: number; ownerMs?: number; afterMs?: number } = {},
    ) =>
      line.wait(
        {
          attemptId,
          needs: [{ pool: poolOf(budgetId), want, need: about.need ?? want }],
          ...about,
          done: waited => {
            ended[attemptId] = waited.outcome
            if (waited.outcome === 'held') given[attemptId] = waited.amounts
          },
        },
        now + (about.afterMs ?? 0),
      ),
    pollAt: (afterMs: number) => line.poll(now + afterMs),
    waitingFor: (budgetId: string) => poolOf(budgetId).waiting,
    /** What each open ask wants. */
    asked: () => wallet.openAsks.map(({ message }) => message.items.map(({ want }) => want)),
    /** Its home answers the oldest ask. @param held by all gateways */
    grant: (amount: number, atMs = now, held = amount) => {
      const seq = wallet.openAsks[0]?.message.seq
      assert.ok(seq)
      const answer = { seq, term: 1, grants: [{ lease_id: leaseIdOf('gw', 1, seq, 0), amount, left: 0, held }] }
      wallet.answer(answer, atMs)
      line.answered(answer, atMs)
    },
  }
}

test('who comes later gets nothing of a pool that an earlier one waits for, and waits for no other pool', () => {
  const { wait, grant, ended } = newLine()
  wait('first', 'bud_a', 10)
  wait('second', 'bud_a', 5)
  wait('other', 'bud_b', 5)
  grant(7)
  assert.deepEqual(ended, {})
  grant(5)
  assert.deepEqual(ended, { first: 'held' })
  grant(5)
  assert.deepEqual(ended, { first: 'held', other: 'held' })
})

test('a call that waits for one pool leaves the others to whoever comes later, but for what it wants itself', () => {
  const { line, wallet, wait, grant, ended, asked } = newLine()
  const poolOf = (budgetId: string) =>
    wallet.pool({ budgetId, copy: '', windowStartMs: 0, windowEndMs: undefined, home: 0, isConcurrent: false })
  const [shared, own, another] = ['bud_a', 'bud_b', 'bud_c'].map(poolOf)
  assert.ok(shared && own && another)
  for (const [budgetId, amount] of Object.entries({ bud_a: 22, bud_c: 20 })) {
    wait('before', budgetId, amount)
    line.giveUp('before')
    grant(amount)
  }
  const needs = (pool: typeof own, want: number) => [shared, pool].map(each => ({ pool: each, want, need: want }))
  const waitFor = (attemptId: string, pool: typeof own, want: number) =>
    line.wait(
      { attemptId, needs: needs(pool, want), done: ({ outcome }) => Object.assign(ended, { [attemptId]: outcome }) },
      now,
    )
  waitFor('first', own, 10)
  assert.deepEqual(asked(), [[10]], 'of what it lacks')
  assert.ok(wallet.hold('later', needs(another, 8), now), 'at once')
  assert.equal(wallet.hold('too much', needs(another, 5), now), undefined)
  waitFor('behind', another, 5)
  assert.deepEqual(asked(), [[10], [1]], 'of what is left beside the one before')
  grant(10)
  assert.deepEqual([ended.first, ended.behind], ['held', undefined])
  grant(1)
  assert.equal(ended.behind, 'held')
})

test('who leaves is told so once, and who waits behind is served at the next look', () => {
  const { line, wait, grant, ended, waitingFor } = newLine()
  wait('first', 'bud_a', 10)
  wait('second', 'bud_a', 5)
  grant(7)
  line.giveUp('first')
  line.giveUp('first')
  assert.deepEqual(ended, { first: 'left' })
  line.poll(now)
  grant(0)
  assert.deepEqual(ended, { first: 'left', second: 'held' })
  assert.deepEqual([line.length, waitingFor('bud_a')], [0, 0])
})

test('what a home grants for somebody who has left is there for others', () => {
  const { line, wait, grant, ended, asked } = newLine()
  wait('first', 'bud_a', 10)
  line.giveUp('first')
  grant(10)
  wait('second', 'bud_a', 8)
  assert.deepEqual([ended, asked()], [{ first: 'left', second: 'held' }, []])
})

test('a home that does not answer is asked by few calls; the others wait as long for it, and are told the same', () => {
  const { wait, pollAt, asked, ended } = newLine()
  for (let call = 0; call < 100; call++) wait(`call ${call}`, 'bud_a', 5)
  assert.equal(asked().length, 16)
  pollAt(499)
  assert.deepEqual(ended, {})
  pollAt(500)
  assert.deepEqual(new Set(Object.values(ended)), new Set(['unanswered']))
  assert.equal(Object.keys(ended).length, 100)
  for (let call = 0; call < 100; call++) wait(`later call ${call}`, 'bud_a', 5)
  assert.equal(asked().length, 16, 'what is open is said again, and nothing beside it')
})

test('whoever was put off by a busy home is served from what others were granted, or asks as soon as there is room', () => {
  const { wait, grant, asked, ended } = newLine()
  for (let call = 0; call < 20; call++) wait(`call ${call}`, 'bud_a', 5)
  grant(5)
  assert.deepEqual(ended, { 'call 0': 'held' })
  assert.equal(asked().length, 16, 'the next one asks')
  for (let call = 1; call < 18; call++) grant(call === 1 ? 20 : 5)
  assert.equal(Object.values(ended).filter(outcome => outcome === 'held').length, 20)
})

test('whoever is put off by a home that answers others is not refused for what nobody has said, and waits no longer than any call', () => {
  const { wait, grant, ended } = newLine()
  const patience = { heldMs: 300, ownerMs: 2_000 }
  for (let call = 0; call < 40; call++) wait(`call ${call}`, `bud_${call}`, 5, patience)
  for (let answered = 1; answered <= 40; answered++) grant(5, now + answered * 20)
  assert.deepEqual([...new Set(Object.values(ended))], ['held'])

  const other = newLine()
  for (let call = 0; call < 200; call++) other.wait(`call ${call}`, `bud_${call}`, 5, patience)
  for (let answered = 1; answered <= 40; answered++) other.grant(5, now + answered * 49)
  assert.equal(other.ended['call 199'], undefined)
  other.grant(5, now + 2_000)
  assert.equal(other.ended['call 199'], 'crowded')
  assert.deepEqual(new Set(Object.values(other.ended)), new Set(['held', 'crowded']))
})

test('a home that answers others is there: whoever it does not come to in time is told that, or what it has said of it before', () => {
  const { line, wallet, wait, ended, given, pollAt } = newLine()
  const seqOf = (budgetId: string): number => {
    const ask = wallet.openAsks.find(({ message }) => message.items[0]?.budget_id === budgetId)
    assert.ok(ask, budgetId)
    return ask.message.seq
  }
  const answer = (afterMs: number, about: Omit<LeaseAnswer, 'term'>) => {
    wallet.answer({ term: 1, ...about }, now + afterMs)
    line.answered({ term: 1, ...about }, now + afterMs)
  }
  const answerOther = (afterMs: number) => {
    wait('other', 'bud_other', 1)
    line.giveUp('other')
    answer(afterMs, { seq: seqOf('bud_other'), grants: [] })
  }
  const patience = { ownerMs: 2_000, heldMs: 300 }
  wait('late', 'bud_a', 10, patience)
  wait('told', 'bud_b', 10, patience)
  wait('stream', 'bud_c', 10, { heldMs: 0 })
  wait('partly', 'bud_d', 10, { ...patience, need: 2, wholeMs: 300 })
  const pool = { budget_id: 'bud_b', copy: '', window_start_ms: 0 }
  const held = { reason: 'held', ...pool, limit: 10, spent: 0, held: 10, need: 10, retry_after_ms: 0 } as const
  const seq = seqOf('bud_d')
  answer(50, { seq, grants: [{ lease_id: leaseIdOf('gw', 1, seq, 0), amount: 4, left: 0, held: 12 }] })
  answer(290, { seq: seqOf('bud_b'), grants: [], refusal: held })
  // Those two have asked again.
  for (const afterMs of [400, 789]) answerOther(afterMs)
  pollAt(789)
  assert.deepEqual(ended, { other: 'left', stream: 'crowded' })
  pollAt(790)
  assert.deepEqual([ended.told, given.partly], ['refused', [4]])
  for (const afterMs of [1_100, 1_500, 1_900, 1_999]) answerOther(afterMs)
  assert.equal(ended.late, undefined)
  pollAt(2_000)
  assert.equal(ended.late, 'crowded')
})

test('whoever is put off by one of its homes is told of that one, and not of another that it has asked nothing', () => {
  for (const order of [
    ['bud_crowded', 'bud_covered'],
    ['bud_covered', 'bud_crowded'],
  ]) {
    const { line, wallet, wait, grant } = newLine()
    const receipt = { term: 1, at_ms: 0, unknown: [], fenced: false }
    const pools = new Map(
      ['bud_crowded', 'bud_covered'].map((budgetId, home) => {
        const name = { budgetId, copy: '', windowStartMs: 0, windowEndMs: undefined, home, isConcurrent: false }
        return [budgetId, wallet.pool(name)] as const
      }),
    )
    const needsOf = (...budgetIds: string[]) =>
      budgetIds.map(id => {
        const pool = pools.get(id)
        assert.ok(pool)
        return { pool, want: 10, need: 10 }
      })
    line.wait({ attemptId: 'before', needs: needsOf('bud_covered'), done: () => {} }, now - 10)
    line.giveUp('before')
    grant(10, now - 5)
    for (let call = 0; call < 200; call++) wait(`call ${call}`, `bud_${call}`, 5)
    let left: Waited | undefined
    const done = (waited: Waited) => {
      left = waited
    }
    line.wait({ attemptId: 'both', needs: needsOf(...order), heldMs: 300, ownerMs: 2_000, done }, now)
    for (let afterMs = 100; afterMs < 2_000; afterMs += 100) {
      wallet.renewed(1, now + afterMs, receipt)
      grant(5, now + afterMs)
      assert.equal(left, undefined, `after ${afterMs} ms`)
    }
    line.poll(now + 2_000)
    assert.deepEqual(left, { outcome: 'crowded', pool: pools.get('bud_crowded') })
  }
})

test('whoever waits for one of its homes in vain is told of that one, whatever others ask the other for', () => {
  const { line, wallet, grant } = newLine()
  const [covered, missing] = ['bud_covered', 'bud_missing'].map((budgetId, home) =>
    wallet.pool({ budgetId, copy: '', windowStartMs: 0, windowEndMs: undefined, home, isConcurrent: false }),
  )
  assert.ok(covered && missing)
  const left: Record<string, Waited> = {}
  const wait = (attemptId: string, pools: (typeof covered)[], atMs: number) =>
    line.wait(
      {
        attemptId,
        needs: pools.map(pool => ({ pool, want: 10, need: 10 })),
        done: waited => {
          left[attemptId] = waited
        },
      },
      atMs,
    )
  wait('before', [covered], now - 10)
  line.giveUp('before')
  grant(10, now - 5)
  wait('both', [covered, missing], now)
  wait('another', [covered], now)
  line.poll(now + 500)
  assert.deepEqual(left.both, { outcome: 'unanswered', pool: missing })
  assert.equal(left.another?.outcome, 'held', 'what is left of the covered one is for whoever waits behind')
})

test('a home that stumbles at the end of a wait is not away: whoever it has put off is told what it said last', () => {
  const { line, wallet, wait, ended, pollAt } = newLine()
  wait('told', 'bud_a', 10, { ownerMs: 2_000 })
  wait('unheard', 'bud_b', 10, { ownerMs: 2_000 })
  const seq = wallet.openAsks[0]?.message.seq ?? 0
  const pool = { budget_id: 'bud_a', copy: '', window_start_ms: 0 }
  const refusal = { reason: 'held', ...pool, limit: 10, spent: 0, held: 10, need: 10, retry_after_ms: 200 } as const
  const answer = { seq, term: 1, grants: [], refusal }
  wallet.answer(answer, now + 1_200)
  line.answered(answer, now + 1_200)
  // From here on it answers nobody.
  for (const afterMs of [1_400, 1_999]) pollAt(afterMs)
  assert.deepEqual(ended, {})
  pollAt(2_000)
  assert.deepEqual(ended, { told: 'refused', unheard: 'crowded' })
})

test('a call that others take its money from again and again waits no longer than it may', () => {
  const { line, wallet, wait, grant, ended } = newLine()
  wait('first', 'bud_a', 20)
  for (let atMs = now; atMs <= now + 2_500 && ended.first === undefined; atMs += 250) {
    // What it is granted is called back for somebody else before there is enough of it.
    grant(13, atMs)
    wallet.recall(wallet.totals().map(({ lease_id }) => lease_id))
    line.poll(atMs)
  }
  assert.deepEqual(ended, { first: 'refused' })
})

test('whoever can do with less waits a while for all of it where others hold the rest, and not where it is spent', () => {
  const { wait, grant, given, pollAt } = newLine()
  wait('patient', 'bud_a', 10, { need: 2, wholeMs: 1_000 })
  grant(4, now, 12)
  assert.deepEqual(given, {})
  pollAt(300)
  grant(6, now + 300, 12)
  assert.deepEqual(given, { patient: [10] })
  wait('in vain', 'bud_b', 10, { need: 2, wholeMs: 1_000 })
  grant(4, now, 9)
  assert.deepEqual(given, { patient: [10], 'in vain': [4] })
  wait('too long', 'bud_c', 10, { need: 2, wholeMs: 1_000 })
  grant(4, now, 12)
  pollAt(999)
  grant(0, now + 999, 12)
  assert.deepEqual(Object.keys(given), ['patient', 'in vain'])
  pollAt(1_000)
  assert.deepEqual(Object.values(given).at(-1), [4])
})

test('whoever waits for more than it needs takes what is there before it would be refused', () => {
  const { wait, grant, given, ended, pollAt } = newLine()
  wait('patient', 'bud_a', 10, { need: 2, wholeMs: 1_000, heldMs: 300 })
  grant(4, now, 12)
  pollAt(299)
  grant(0, now + 299, 12)
  assert.deepEqual(ended, {})
  pollAt(300)
  assert.deepEqual([ended, given], [{ patient: 'held' }, { patient: [4] }])
})

test('whoever waits for more than it needs takes what is there where its home falls silent', () => {
  const { wait, grant, given, ended, pollAt } = newLine()
  wait('patient', 'bud_a', 10, { need: 2, wholeMs: 1_000 })
  grant(4, now, 12)
  pollAt(200)
  pollAt(699)
  assert.deepEqual(ended, {})
  pollAt(700)
  assert.deepEqual([ended, given], [{ patient: 'held' }, { patient: [4] }])
})

test('a small call passes one that waits for more than it needs, and leaves it that', () => {
  const { wait, grant, given, ended, pollAt } = newLine()
  wait('patient', 'bud_a', 100, { need: 30, wholeMs: 1_000 })
  grant(40, now, 120)
  wait('small', 'bud_a', 7)
  assert.deepEqual(ended, { small: 'held' })
  wait('too large', 'bud_a', 4, { heldMs: 300 })
  wait('may have less', 'bud_a', 50, { need: 1, heldMs: 0 })
  for (let ask = 0; ask < 3; ask++) grant(0, now, 120)
  assert.deepEqual(ended, { small: 'held', 'may have less': 'refused' }, 'behind one that has too little')
  pollAt(1_000)
  assert.deepEqual(given, { small: [7], patient: [33] })
})

test('behind one that waits for more than it needs, what it leaves is better than to be refused', () => {
  const { wait, grant, given, pollAt } = newLine()
  wait('patient', 'bud_a', 100, { need: 30, wholeMs: 1_000 })
  grant(40, now, 120)
  wait('behind', 'bud_a', 50, { need: 2, heldMs: 300, wholeMs: 1_000 })
  grant(0, now, 120)
  pollAt(299)
  grant(0, now + 299, 120)
  assert.deepEqual(given, {})
  pollAt(300)
  assert.deepEqual(given, { behind: [10] })
})

test('a call that is overtaken is refused in the name of a pool that is short', () => {
  const { line, wallet, wait, grant } = newLine()
  const [plenty, short] = ['bud_a', 'bud_b'].map(budgetId =>
    wallet.pool({ budgetId, copy: '', windowStartMs: 0, windowEndMs: undefined, home: 0, isConcurrent: false }),
  )
  assert.ok(plenty && short)
  wait('earlier', 'bud_a', 20)
  line.giveUp('earlier')
  grant(20)
  wait('first', 'bud_b', 50)
  const refused: string[] = []
  const done = (waited: Waited) => waited.outcome === 'refused' && refused.push(waited.refused.budget_id)
  const needs = [plenty, short].map(pool => ({ pool, want: 5, need: 5 }))
  line.wait({ attemptId: 'second', needs, heldMs: 0, done }, now)
  grant(0)
  const seq = wallet.openAsks[0]?.message.seq ?? 0
  const answer = {
    seq,
    term: 1,
    grants: [5, 0].map((amount, at) => ({ lease_id: leaseIdOf('gw', 1, seq, at), amount, left: 0 })),
  }
  wallet.answer(answer, now)
  line.answered(answer, now)
  assert.deepEqual(refused, ['bud_b'])
})

test('who waits is served from no lease past its ttl, and at once where its home is heard of again', () => {
  const { line, wallet, wait, grant, ended, asked, pollAt } = newLine()
  wait('before', 'bud_a', 10)
  line.giveUp('before')
  grant(10)
  const laterMs = 60_000
  const later = (attemptId: string) => {
    const pool = wallet.pool({
      budgetId: 'bud_a',
      copy: '',
      windowStartMs: 0,
      windowEndMs: undefined,
      home: 0,
      isConcurrent: false,
    })
    const done = (waited: Waited) => {
      ended[attemptId] = waited.outcome
    }
    line.wait({ attemptId, needs: [{ pool, want: 5, need: 5 }], done }, now + laterMs)
  }
  later('silent')
  assert.deepEqual([ended, asked()], [{ before: 'left' }, [[0]]], 'its home is asked whether it is there')
  pollAt(laterMs + 500)
  assert.deepEqual(ended, { before: 'left', silent: 'unanswered' })
  later('heard')
  grant(0, now + laterMs + 600)
  assert.deepEqual(ended, { before: 'left', silent: 'unanswered', heard: 'held' })
})

test('a home that was heard of a moment ago may be between two owners: who has the patience waits for it, and no longer than that', () => {
  const { wallet, wait, grant, ended, pollAt } = newLine()
  wait('never heard', 'bud_a', 10, { ownerMs: 2_000 })
  pollAt(500)
  assert.deepEqual(ended, { 'never heard': 'unanswered' })
  grant(0, now + 500)
  const receipt = { term: 1, at_ms: 0, unknown: [], fenced: false }
  wallet.renewed(0, now, receipt)
  wait('patient', 'bud_a', 10, { ownerMs: 2_000, heldMs: 300, afterMs: 500 })
  wait('impatient', 'bud_a', 10, { afterMs: 500 })
  pollAt(2_499)
  assert.deepEqual(ended, { 'never heard': 'unanswered', impatient: 'unanswered' })
  grant(10, now + 2_499)
  assert.equal(ended.patient, 'held')
  wait('too long', 'bud_a', 10, { ownerMs: 2_000, afterMs: 2_499 })
  pollAt(4_498)
  assert.equal(ended['too long'], undefined)
  pollAt(4_499)
  assert.equal(ended['too long'], 'unanswered')
})
