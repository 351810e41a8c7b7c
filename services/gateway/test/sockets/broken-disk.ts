import assert from 'node:assert/strict'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, suite, type TestContext, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { eventually } from '@sluice/test-env'
import type { GatewayStack, TestProject } from '../gateway-stack.ts'
import { openSocket } from './socket-client.ts'

const model = 'gpt-5.4-mini'
const preload = join(import.meta.dirname, '..', '..', '..', '..', 'test', 'faults', 'mutants', 'broken-disk.ts')
const sound = (ms: number) => ({ type: 'input_audio_buffer.append', audio: Buffer.alloc(ms * 48).toString('base64') })
const speakSlowly = {
  type: 'conversation.item.create',
  item: {
    type: 'message',
    role: 'user',
    content: [{ type: 'input_text', text: '[[sim output_tokens=4000 delay_ms=10]]' }],
  },
}
const hearWith = (turn_detection: object | null) => ({
  type: 'session.update',
  session: { type: 'realtime', audio: { input: { turn_detection, transcription: { model: 'whisper-1' } } } },
})

/** What a provider begins while the disk below the journal is broken. Starts a gateway that was stopped, and ends with one that works. */
export function socketsOutliveTheirDisk(gateway: GatewayStack): void {
  suite('a disk that refuses the records of what a provider begins by itself', () => {
    const { plan } = gateway.stack.services.gateway
    const flag = join(gateway.stack.home, 'disk')
    const own = { args: plan.args, env: { ...plan.env } }
    before(async () => {
      // What breaks the disk stands before the modules of Node itself, so a bundle does, which is started sooner.
      plan.args = plan.bundledArgs ?? plan.args
      plan.env.NODE_OPTIONS = [plan.env.NODE_OPTIONS, `--import ${pathToFileURL(preload).href}`]
        .filter(Boolean)
        .join(' ')
      plan.env.SLUICE_FAULT_DISK = flag
      await gateway.stack.services.gateway.start()
      await gateway.stack.services.gateway.untilReady()
    })
    // Whoever starts it again has it as it was.
    after(() => Object.assign(plan, own))

    function breakDisk(t: TestContext, fault: 'eio' | 'full'): void {
      t.after(() => rmSync(flag, { force: true }))
      writeFileSync(flag, fault)
    }

    /** The gateway lives, and goes on by itself once the disk does; what it has settled meanwhile is published then. */
    async function settledOnceMended(project: TestProject, count: number) {
      rmSync(flag)
      await eventually(
        async () => {
          const again = await gateway.post('/v1/responses', project.apiKey, { model, input: '[[sim output_tokens=1]]' })
          await again.arrayBuffer()
          return again.status === 200
        },
        { message: 'a call that is answered again' },
      )
      const events = await eventually(
        () => {
          const found = gateway.eventsOf(project.projectId).filter(({ endpoint }) => endpoint !== 'responses')
          return found.length >= count && found
        },
        { message: `${count} events` },
      )
      assert.equal(events.length, count, 'nothing is settled twice')
      return events
    }

    for (const fault of ['eio', 'full'] as const) {
      test(`${fault}: a turn of voice detection is cancelled and settles to the bill, its sound too; the socket closes with 1013 and says why`, async t => {
        const project = await gateway.newProject({ ownCredential: true })
        const client = await openSocket(gateway, '/v1/realtime?model=gpt-realtime', project.apiKey)
        client.send(hearWith({ type: 'server_vad' }))
        client.send(speakSlowly)
        await client.until('session.updated')
        breakDisk(t, fault)
        client.send(sound(1_500))
        const [done] = await client.until('response.done')
        const [error] = await client.until('error')
        assert.deepEqual([error.status, error.error.code], [503, 'metering_unavailable'])
        const closed = await client.closed
        assert.equal(closed.code, 1013)
        assert.match(closed.reason, /cannot record usage/)
        const events = await settledOnceMended(project, 2)
        const turn = events.find(({ endpoint }) => endpoint === 'realtime')
        const bill = (await gateway.billsOf(project)).find(({ response_id }) => response_id === done.response.id)
        assert.deepEqual([turn?.status, turn?.cut_by?.reason], ['cut', 'metering_unavailable'])
        assert.equal(turn?.response_id, done.response.id)
        assert.equal(turn?.cost_nano_usd, bill?.cost_nano_usd)
        assert.ok((turn?.cost_nano_usd ?? 0) > 0)
        const heard = events.find(({ endpoint }) => endpoint === 'realtime.transcription')
        assert.equal(heard?.quantities.audio_ms_in, 1_500)
        assert.ok((heard?.cost_nano_usd ?? 0) > 0)
      })
    }

    test('sound that is committed and written down by another model alone is settled, and the socket closes with 1013', async t => {
      const project = await gateway.newProject({ ownCredential: true })
      const client = await openSocket(gateway, '/v1/realtime?model=gpt-realtime', project.apiKey)
      client.send(hearWith(null))
      await client.until('session.updated')
      breakDisk(t, 'eio')
      client.send(sound(2_500))
      client.send({ type: 'input_audio_buffer.commit' })
      await client.until('conversation.item.input_audio_transcription.completed')
      assert.equal((await client.closed).code, 1013)
      const [only] = await settledOnceMended(project, 1)
      assert.equal(only?.quantities.audio_ms_in, 2_500)
      assert.ok((only?.cost_nano_usd ?? 0) > 0)
    })

    test('a Responses turn that follows a steered one by itself ends with its socket, and both are settled', async t => {
      const project = await gateway.newProject({ ownCredential: true })
      const client = await openSocket(gateway, '/v1/responses', project.apiKey)
      client.send({ type: 'response.create', model, input: '[[sim output_tokens=40 delay_ms=10]]' })
      const [created] = await client.until('response.created')
      breakDisk(t, 'eio')
      const steered = { type: 'response.steer', previous_response_id: created.response.id }
      client.send({ ...steered, input: 'Longer. [[sim output_tokens=4000 delay_ms=10]]' })
      await client.until('response.created', 2)
      const [error] = await client.until('error')
      assert.deepEqual([error.status, error.error.code], [503, 'metering_unavailable'])
      assert.equal((await client.closed).code, 1013)
      const events = await settledOnceMended(project, 2)
      const bills = await gateway.billsOf(project)
      const asked = events.find(({ response_id }) => response_id === created.response.id)
      assert.equal(asked?.status, 'completed')
      assert.equal(
        asked?.cost_nano_usd,
        bills.find(({ response_id }) => response_id === created.response.id)?.cost_nano_usd,
      )
      const followed = events.find(event => event !== asked)
      assert.deepEqual([followed?.status, followed?.cut_by?.reason], ['cut', 'metering_unavailable'])
      assert.ok(bills.some(({ response_id, ended }) => response_id === followed?.response_id && ended === 'aborted'))
    })
  })
}
