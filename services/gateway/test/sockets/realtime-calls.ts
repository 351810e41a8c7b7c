import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventually } from '@sluice/test-env'
import OpenAI from 'openai'
import type { GatewayStack, ProjectOptions } from '../gateway-stack.ts'
import { untilHungUp } from './socket-client.ts'

const open: ProjectOptions = { ownCredential: true, settings: { path_classes: { realtime_calls: true } } }
const sdp = 'v=0\r\n'
const offer = (instructions = '[[sim output_tokens=8]]') => ({
  sdp,
  session: {
    type: 'realtime' as const,
    model: 'gpt-realtime',
    instructions,
    audio: { input: { transcription: { model: 'whisper-1' } } },
  },
})

/** Calls whose sound goes past the gateway are metered beside it, where the project has opened them, or not made at all. */
export function callsAreMeteredBeside(gateway: GatewayStack): void {
  const turnsOf = (projectId: string) =>
    gateway.eventsOf(projectId).filter(({ endpoint }) => endpoint === 'realtime.calls')

  test('a call through the official client is joined by its id, and every turn settled to the provider’s bill', async () => {
    const project = await gateway.newProject(open)
    const client = gateway.openai(project.apiKey)
    const answer = await client.realtime.calls.create(offer())
    assert.match(await answer.text(), /^v=0/)
    const callId = answer.headers.get('location')?.split('/').at(-1) ?? ''
    await eventually(() => turnsOf(project.projectId).length === 3)
    const other = await gateway.newProject(open)
    await assert.rejects(gateway.openai(other.apiKey).realtime.calls.hangup(callId), OpenAI.NotFoundError)
    await client.realtime.calls.hangup(callId)
    await untilHungUp(gateway, callId)
    const bills = await gateway.billsOf(project)
    // What is written down of the call is an event of its own, which may come after those of the turns.
    const events = await eventually(() => {
      const found = gateway.eventsOf(project.projectId)
      return found.length >= bills.length && found
    })
    assert.equal(events.length, bills.length)
    for (const event of events) {
      const bill = bills.find(({ response_id }) => response_id === event.response_id)
      assert.equal(event.cost_nano_usd, bill?.cost_nano_usd)
      assert.ok(event.cost_nano_usd > 0)
    }
    assert.deepEqual(
      new Set(events.map(event => event.endpoint)),
      new Set(['realtime.calls', 'realtime.transcription']),
    )
  })

  test('a call that cannot be joined is hung up, and the answer says why', async () => {
    const project = await gateway.newProject(open)
    const client = gateway.openai(project.apiKey)
    await assert.rejects(
      client.realtime.calls.create(offer(), { headers: { 'x-sim-upgrade-status': '500' } }),
      (error: unknown) => {
        assert.ok(error instanceof OpenAI.APIError)
        assert.equal(error.status, 502)
        assert.match(error.message, /hung up/)
        return true
      },
    )
    await new Promise(resolve => setTimeout(resolve, 700))
    assert.deepEqual(await gateway.billsOf(project), [], 'its far end never came to speak')
  })

  test('a revoked key hangs its calls up', async () => {
    const project = await gateway.newProject(open)
    const running = async () => Number(/^gateway_active_calls (\S+)/m.exec(await gateway.metrics())?.[1])
    await eventually(async () => (await running()) === 0)
    // Nothing of it is written down by another model: what runs is its turn.
    const session = {
      type: 'realtime',
      model: 'gpt-realtime',
      instructions: '[[sim output_tokens=5000 delay_ms=10 call_turns=1]]',
    } as const
    await gateway.openai(project.apiKey).realtime.calls.create({ sdp, session })
    // The gateway knows of it.
    await eventually(async () => (await running()) > 0)
    await gateway.manage('DELETE', `/accounts/projects/${project.projectId}/api-keys/${project.keyId}`)
    const events = await eventually(() => {
      const found = turnsOf(project.projectId)
      return found.length > 0 && found
    })
    assert.deepEqual([events[0]?.status, events[0]?.cut_by?.reason], ['cut', 'credential_revoked'])
    await eventually(async () => (await gateway.billsOf(project)).every(({ ended }) => ended !== 'running'))
  })

  test('closed unless the project has opened them; the model of the session must be allowed', async () => {
    const closed = await gateway.newProject({ ownCredential: true })
    const isForbidden = (code: string) => (error: unknown) => {
      assert.ok(error instanceof OpenAI.PermissionDeniedError, String(error))
      assert.equal(error.code, code)
      return true
    }
    await assert.rejects(gateway.openai(closed.apiKey).realtime.calls.create(offer()), isForbidden('path_not_open'))
    const narrow = await gateway.newProject({
      ...open,
      allowedModels: [{ provider: 'openai', model: 'gpt-realtime-mini' }],
    })
    await assert.rejects(gateway.openai(narrow.apiKey).realtime.calls.create(offer()), isForbidden('model_not_allowed'))
    assert.deepEqual(await gateway.billsOf(narrow), [])
  })
}
