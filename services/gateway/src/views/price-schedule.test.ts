import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { PriceBookEntry } from '@sluice/contracts'
import { PriceSchedule } from './price-schedule.ts'

const entry = (id: string, effectiveAtMs: number, projectId?: string): PriceBookEntry => ({
  price_book_id: id,
  kind: projectId === undefined ? 'catalogue' : 'override',
  ...(projectId !== undefined && { project_id: projectId }),
  effective_at_ms: effectiveAtMs,
  size_bytes: 1,
})

test('a book published for the future comes into force by itself at its instant', () => {
  const schedule = new PriceSchedule(() => true)
  assert.equal(schedule.catalogueAt(100), undefined)
  for (const known of [entry('pb_next', 200), entry('pb_now', 100), entry('pb_later', 300)]) schedule.put(known)
  assert.deepEqual(
    [99, 100, 199, 200, 299, 300].map(at => schedule.catalogueAt(at)),
    [undefined, 'pb_now', 'pb_now', 'pb_next', 'pb_next', 'pb_later'],
  )
})

test('a book that gets another instant holds from that one', () => {
  const schedule = new PriceSchedule(() => true)
  schedule.put(entry('pb_a', 100))
  schedule.put(entry('pb_b', 200))
  assert.equal(schedule.catalogueAt(500), 'pb_b')
  schedule.put(entry('pb_a', 300))
  assert.equal(schedule.catalogueAt(250), 'pb_b')
  assert.equal(schedule.catalogueAt(300), 'pb_a')
})

test('a book that is announced and not here yet leaves the one before it in force', () => {
  const here = new Set(['pb_a'])
  const schedule = new PriceSchedule(id => here.has(id))
  schedule.put(entry('pb_a', 100))
  schedule.put(entry('pb_b', 200))
  assert.equal(schedule.catalogueAt(250), 'pb_a')
  here.add('pb_b')
  assert.equal(schedule.catalogueAt(250), 'pb_b')
})

test("a project's own book is that project's alone, and is missing rather than none while it is on its way", () => {
  const here = new Set<string>()
  const schedule = new PriceSchedule(id => here.has(id))
  schedule.put(entry('pb_p', 100, 'p'))
  assert.equal(schedule.overrideAt('q', 500), undefined)
  assert.equal(schedule.overrideAt('p', 99), undefined)
  assert.equal(schedule.overrideAt('p', 100), 'missing')
  here.add('pb_p')
  assert.equal(schedule.overrideAt('p', 100), 'pb_p')
  assert.equal(schedule.catalogueAt(500), undefined)
})

test('a book that is taken back before its instant never comes into force', () => {
  const schedule = new PriceSchedule(() => true)
  for (const known of [entry('pb_a', 100), entry('pb_b', 200), entry('pb_p', 200, 'p')]) schedule.put(known)
  schedule.remove('pb_b')
  schedule.remove('pb_p')
  assert.equal(schedule.catalogueAt(300), 'pb_a')
  assert.equal(schedule.overrideAt('p', 300), undefined)
})
