import assert from 'node:assert/strict'
import { test } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import { eventually } from '@sluice/test-env'
import type { GatewayStack, TestProject } from '../gateway-stack.ts'
import { openSocket } from './socket-client.ts'

const model = 'gpt-5.4-mini'
const slow = '[[sim output_tokens=4000 delay_ms=20]]'
const realtime = '/v1/realtime?model=gpt-realtime'
const claude = { model: 'claude-sonnet-4-6', max_tokens: 4_096 }
const say = (content: string) => [{ role: 'user' as const, content }]

/** The money of a prepaid project is gone, and is there again: for what it pays for, and for nothing else. */
export function balancesEnd(gateway: GatewayStack): void {
  const path = ({ projectId }: TestProject) => `/accounts/projects/${projectId}`
  /** Nothing was credited: its balance is used up as soon as it is prepaid. */
  const empty = (project: TestProject) => gateway.manage('PATCH', `${path(project)}/balance`, { prepaid: true })
  const credit = (project: TestProject) =>
    gateway.manage('POST', `${path(project)}/credits`, { amount: '5', reason: 'Paid in advance' })

  test('a prepaid balance is used up: turns end softly, the Responses socket refuses in words and goes on with a credit, realtime closes with 1008', async () => {
    const project = await gateway.newProject()
    const [running, speaking, idle] = await Promise.all(
      ['/v1/responses', realtime, realtime].map(each => openSocket(gateway, each, project.apiKey)),
    )
    assert.ok(running && speaking && idle)
    running.send({ type: 'response.create', model, input: slow })
    speaking.send({ type: 'response.create', response: { instructions: slow } })
    await running.until('response.output_text.delta', 5)
    await speaking.until('response.output_audio.delta', 5)
    await empty(project)

    const [incomplete] = await running.until('response.incomplete')
    assert.deepEqual(incomplete.response.incomplete_details, { reason: 'max_output_tokens' })
    running.send({ type: 'response.create', model, input: 'x' })
    const [refused] = await running.until('error')
    assert.deepEqual([refused.status, refused.error.code], [402, 'insufficient_quota'])
    assert.match(refused.error.message, /out of credits/)

    const [done] = await speaking.until('response.done')
    assert.equal(done.response.status, 'cancelled')
    for (const client of [speaking, idle]) {
      const { code, reason } = await client.closed
      assert.deepEqual([code, /out of credits|balance/.test(reason)], [1008, true], reason)
      const [error] = await client.until('error')
      assert.deepEqual([error.status ?? error.error.status, error.error.code], [402, 'insufficient_quota'])
      assert.match(error.error.message, /out of credits/)
    }
    const events = await eventually(() => {
      const found = gateway.eventsOf(project.projectId).filter(({ status }) => status === 'cut')
      return found.length === 2 && found
    })
    assert.deepEqual(
      events.map(({ cut_by }) => cut_by?.reason),
      ['balance_exhausted', 'balance_exhausted'],
    )

    assert.equal(running.socket.readyState, running.socket.OPEN)
    await credit(project)
    await eventually(async () => {
      running.send({ type: 'response.create', model, input: 'x' })
      await new Promise(resolve => setTimeout(resolve, 100))
      return running.events.some(({ type }) => type === 'response.completed')
    })
    running.socket.close()
  })

  test('what a credential of the project’s own pays goes on when its balance is used up; what the balance pays does not', async () => {
    const credential = 'sk-own-of-a-prepaid-project'
    const own = { openai: { base_url: `${gateway.stack.simulatorUrl}/v1`, api_key: credential } }
    const project = await gateway.newProject({ integrations: own })
    const openai = gateway.openai(project.apiKey)
    const anthropic = gateway.anthropic(project.apiKey)
    const stream = await openai.chat.completions.create({
      model,
      stream: true,
      messages: say('[[sim output_tokens=60 delay_ms=30]]'),
    })
    const [turns, idle] = await Promise.all([
      openSocket(gateway, '/v1/responses', project.apiKey),
      openSocket(gateway, realtime, project.apiKey),
    ])
    turns.send({ type: 'response.create', model, input: '[[sim output_tokens=60 delay_ms=30]]' })
    await turns.until('response.output_text.delta')
    const paid = anthropic.messages.stream({ ...claude, messages: say(slow) })
    await paid.emitted('text')
    await empty(project)
    assert.equal((await paid.finalMessage()).stop_reason, 'max_tokens', 'what the balance pays ends softly')
    await assert.rejects(anthropic.messages.create({ ...claude, messages: say('x') }), (error: unknown) => {
      assert.ok(error instanceof Anthropic.APIError)
      assert.deepEqual([error.status, /out of credits/.test(error.message)], [402, true])
      return true
    })

    let finish: string | null | undefined
    for await (const chunk of stream) finish = chunk.choices[0]?.finish_reason ?? finish
    assert.equal(finish, 'stop', 'what runs at its own expense comes whole')
    await turns.until('response.completed')
    turns.send({ type: 'response.create', model, input: 'x' })
    await turns.until('response.completed', 2)
    idle.send({ type: 'response.create', response: { instructions: 'x' } })
    const [spoken] = await idle.until('response.done')
    assert.equal(spoken.response.status, 'completed')
    for (const { socket } of [turns, idle]) socket.close()
    const again = await openSocket(gateway, realtime, project.apiKey)
    again.socket.close()
    assert.ok((await openai.chat.completions.create({ model, messages: say('x') })).usage)
    const events = gateway.eventsOf(project.projectId).filter(({ dialect }) => dialect === 'openai')
    assert.deepEqual(
      [...new Set(events.map(event => `${event.paid_by} ${event.status}`))],
      ['own_credential completed'],
    )
  })
}
