import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createDecisionBell } from './decision-bell.ts'

test('a project has so many places and no more, the others theirs beside it, all together so many; given back they are free', () => {
  const bell = createDecisionBell({ ofAll: 5, ofProject: 2 })
  const take = (projectId: string) => {
    const place = bell.takePlace(projectId)
    assert.ok(typeof place === 'object', `${projectId}: ${place}`)
    return place
  }
  const greedy = take('greedy')
  take('greedy')
  assert.equal(bell.takePlace('greedy'), 'project')
  take('other')
  greedy.giveBack()
  take('greedy')
  assert.equal(bell.takePlace('greedy'), 'project')
  take('other')
  take('third')
  assert.equal(bell.takePlace('fourth'), 'all')
})

test('a ring wakes those who wait for that request alone, a time and a signal end a wait', {
  timeout: 5_000,
}, async () => {
  const bell = createDecisionBell()
  const never = new AbortController()
  const woken: string[] = []
  const waits = ['one', 'other'].map(id => bell.wait(id, 60_000, never.signal).then(() => woken.push(id)))
  bell.ring('one')
  await waits[0]
  assert.deepEqual(woken, ['one'])
  await bell.wait('one', 1, never.signal)
  never.abort()
  await Promise.all(waits)
  await bell.wait('one', 60_000, never.signal)
})
