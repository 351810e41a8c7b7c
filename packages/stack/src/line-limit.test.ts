import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LineLimit } from './line-limit.ts'

test('what a second has no room for is counted, the last of it too, and the next has room again', t => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const lines: string[] = []
  const limit = new LineLimit(2, line => lines.push(line))
  const taken = () => [limit.take(), limit.take(), limit.take(), limit.take()]
  assert.deepEqual(taken(), [true, true, false, false])
  t.mock.timers.tick(1_000)
  assert.deepEqual(lines, ['… and 2 more calls in that second'])
  assert.equal(limit.take(), true)
  t.mock.timers.tick(5_000)
  assert.deepEqual(taken(), [true, true, false, false])
  t.mock.timers.tick(1_000)
  assert.equal(lines.length, 2)
})
