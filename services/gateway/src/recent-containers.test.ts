import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ChargedContainer } from '@sluice/contracts'
import { fromResponse, openResponsesTap } from '@sluice/usage'
import { RecentContainers } from './recent-containers.ts'

const ran = (containers: readonly string[], memory_limit?: string) => ({
  id: 'resp_1',
  usage: { input_tokens: 10, output_tokens: 5, total_tokens: 15 },
  tools: [{ type: 'code_interpreter', container: { type: 'auto', memory_limit } }],
  output: containers.map((container_id, at) => ({ type: 'code_interpreter_call', id: `ci_${at}`, container_id })),
})
const minutes = (count: number) => count * 60_000
const at = (startedAtMs: number, nowMs = startedAtMs) => ({ startedAtMs, nowMs })

test('a container is charged once for the minutes it lives, at least five, times its memory; one that is new, gone or another project’s by itself', () => {
  const containers = new RecentContainers()
  for (const [project, used, memory, when, sessions, gbMinutes] of [
    ['a', ['c1', 'c1'], '4g', at(0, 30_000), 1, 20],
    // Within the five minutes that are paid.
    ['a', ['c1'], '4g', at(minutes(4), minutes(5)), undefined, undefined],
    ['a', ['c1'], '4g', at(minutes(5), minutes(5) + 1), undefined, 4],
    // Eighteen minutes more, whoever asks; it lives for twenty from its last use. By its id alone it tells no memory.
    ['a', ['c1', 'c2'], undefined, at(minutes(24)), 1, 18 * 4 + 5],
    ['b', ['c1'], undefined, at(minutes(24)), 1, 5],
    ['a', ['c1'], '1g', at(minutes(44)), 1, 5],
    ['a', ['c3'], '64g', at(minutes(50), minutes(56) + 1), 1, 7 * 64],
  ] as const) {
    const usage = containers.chargeOnce(project, fromResponse(ran(used, memory)), when)
    const { code_container_sessions, code_container_gb_minutes, in_text, out_text } = usage.quantities
    assert.deepEqual([code_container_sessions, code_container_gb_minutes], [sessions, gbMinutes], `${project} ${used}`)
    assert.equal(usage.provenance.code_container_sessions, sessions && 'measured')
    assert.equal(usage.provenance.code_container_gb_minutes, gbMinutes && 'estimated')
    assert.deepEqual([in_text, out_text], [10, 5])
  }
})

test('what one gateway has charged another does not charge again, whenever it hears of it', () => {
  const told: [string, ChargedContainer][] = []
  const [one, other] = [new RecentContainers((key, container) => told.push([key, container])), new RecentContainers()]
  const charge = (containers: RecentContainers, minute: number) =>
    containers.chargeOnce('a', fromResponse(ran(['c1'])), at(minutes(minute))).quantities.code_container_gb_minutes
  assert.equal(charge(one, 0), 5)
  assert.equal(charge(one, 8), 3)
  // The later word comes first.
  for (const [key, container] of told.toReversed()) other.note(key, container)
  assert.equal(charge(other, 8), undefined)
  assert.equal(charge(other, 10), 2)
})

test('a reply that names containers without end is charged for all of them, and puts out none of another project', () => {
  let told = 0
  const containers = new RecentContainers(() => told++)
  const charge = (project: string, ids: readonly string[]) =>
    containers.chargeOnce(project, fromResponse(ran(ids)), at(0)).quantities
  const names = (from: number, count: number) => Array.from({ length: count }, (_, index) => `c${from + index}`)
  charge('a', ['mine'])
  told = 0
  const flood = charge('b', names(0, 30_000))
  assert.deepEqual([flood.code_container_sessions, flood.code_container_gb_minutes], [30_000, 150_000])
  assert.ok(told < 100, `${told} other gateways' records of one reply`)
  // By many replies, too, here and at another gateway.
  for (let from = 0; from < 24_000; from += 50) charge('b', names(from, 50))
  for (const id of names(0, 24_000)) {
    containers.note(`c.${id}`, { started_at_ms: 0, used_at_ms: 0, gb: 1, minutes: 5 })
  }
  for (const [project, id] of [
    ['a', 'mine'],
    ['b', 'c23999'],
  ] as const)
    assert.equal(charge(project, [id]).code_container_sessions, undefined, project)
  assert.equal(charge('b', ['c100']).code_container_sessions, 1, 'the oldest of many is forgotten')
})

test('a stream that breaks off names the containers it has shown', () => {
  const tap = openResponsesTap({ model: 'gpt-5.4' })
  const tools = [{ type: 'code_interpreter', container: { type: 'auto', memory_limit: '16g' } }]
  tap.observe(JSON.stringify({ type: 'response.created', response: { id: 'resp_1', output: [], tools } }))
  const item = { type: 'code_interpreter_call', id: 'ci_1', container_id: 'c1' }
  tap.observe(JSON.stringify({ type: 'response.output_item.done', output_index: 0, item }))
  const containers = new RecentContainers()
  const first = containers.chargeOnce('a', tap.usage(), at(0)).quantities
  assert.deepEqual([first.code_container_sessions, first.code_container_gb_minutes], [1, 80])
  const second = containers.chargeOnce('a', tap.usage(), at(1)).quantities
  assert.deepEqual([second.code_container_sessions, second.code_container_gb_minutes], [undefined, undefined])
})
