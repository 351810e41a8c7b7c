import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RecentFrames } from './recent-frames.ts'

const bytes = (length: number): Buffer => Buffer.alloc(length, length)

test('frames are found where they begin, in order, and once', () => {
  const recent = new RecentFrames()
  recent.add({ segment: 1, offset: 30 }, [bytes(10), bytes(20)])
  recent.add({ segment: 2, offset: 15 }, [bytes(5)])
  assert.equal(recent.take({ segment: 1, offset: 0 })?.length, 10)
  assert.equal(recent.take({ segment: 1, offset: 0 }), undefined)
  assert.equal(recent.take({ segment: 1, offset: 10 })?.length, 20)
  assert.equal(recent.take({ segment: 1, offset: 30 }), undefined)
  assert.equal(recent.take({ segment: 2, offset: 10 })?.length, 5)
})

test('a reader that is elsewhere finds nothing, and what it has passed is let go', () => {
  const recent = new RecentFrames()
  recent.add({ segment: 1, offset: 100 }, [bytes(10)])
  assert.equal(recent.take({ segment: 1, offset: 50 }), undefined)
  assert.equal(recent.take({ segment: 1, offset: 95 }), undefined)
  assert.equal(recent.take({ segment: 1, offset: 90 }), undefined, 'passed by the last question')
})

test('a reader that does not keep up leaves no more behind than a bound', () => {
  const recent = new RecentFrames()
  const megabyte = Buffer.alloc(1024 * 1024)
  for (let i = 1; i <= 20; i++) recent.add({ segment: 1, offset: i * megabyte.length }, [megabyte])
  assert.equal(recent.take({ segment: 1, offset: 0 }), undefined)
  assert.equal(recent.take({ segment: 1, offset: 12 * megabyte.length }), megabyte)
})
