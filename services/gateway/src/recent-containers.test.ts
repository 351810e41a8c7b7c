import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromResponse, openResponsesTap } from '@sluice/usage'
import { RecentContainers } from './recent-containers.ts'

const ran = (...containers: string[]) => ({
  id: 'resp_1',
  usage: { input_tokens: 10, output_tokens: 5, total_tokens: 15 },
  output: containers.map((container_id, at) => ({ type: 'code_interpreter_call', id: `ci_${at}`, container_id })),
})
const minutes = (count: number) => count * 60_000

test('a container that is used again while it lives is charged once; one that is new, gone or another project’s is charged', () => {
  const containers = new RecentContainers()
  for (const [project, atMs, used, sessions] of [
    ['a', 0, ['c1', 'c1'], 1],
    ['a', minutes(19), ['c1'], undefined],
    // It lives for twenty minutes from its last use.
    ['a', minutes(38), ['c1', 'c2'], 1],
    ['b', minutes(38), ['c1'], 1],
    ['a', minutes(58), ['c1'], 1],
    ['a', minutes(59), ['c2', 'c3'], 2],
  ] as const) {
    const usage = containers.chargeOnce(project, fromResponse(ran(...used)), atMs)
    assert.equal(usage.quantities.code_container_sessions, sessions, `${project} ${atMs}`)
    assert.equal(usage.provenance.code_container_sessions, sessions && 'measured')
    assert.deepEqual([usage.quantities.in_text, usage.quantities.out_text], [10, 5])
  }
})

test('a stream that breaks off names the containers it has shown', () => {
  const tap = openResponsesTap({ model: 'gpt-5.4' })
  tap.observe('{"type":"response.created","response":{"id":"resp_1","output":[]}}')
  const item = { type: 'code_interpreter_call', id: 'ci_1', container_id: 'c1' }
  tap.observe(JSON.stringify({ type: 'response.output_item.done', output_index: 0, item }))
  const containers = new RecentContainers()
  assert.equal(containers.chargeOnce('a', tap.usage(), 0).quantities.code_container_sessions, 1)
  assert.equal(containers.chargeOnce('a', tap.usage(), 1).quantities.code_container_sessions, undefined)
})
