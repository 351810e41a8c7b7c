import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openBucket } from '@sluice/bus'
import { PriceBookEntry } from '@sluice/contracts'
import { busOf, eventually } from '@sluice/test-env'
import { OpenAIRealtimeWS } from 'openai/realtime/ws'
import { beforeTheEnd } from '../before-the-end.ts'
import type { GatewayStack, TestProject } from '../gateway-stack.ts'
import { openSocket, plainConnection, type SocketEvent } from './socket-client.ts'

const realtime = '/v1/realtime?model=gpt-realtime'
const sound = (ms: number) => ({ type: 'input_audio_buffer.append', audio: Buffer.alloc(ms * 48).toString('base64') })
const isSound = ({ type }: SocketEvent) => type === 'response.output_audio.delta'
const create = (directives: string) => ({
  type: 'response.create',
  response: { instructions: `[[sim ${directives}]]` },
})
const hearWith = (transcription: string | null, turn_detection: object | null = null) => ({
  type: 'session.update',
  session: {
    type: 'realtime',
    audio: { input: { turn_detection, transcription: transcription === null ? null : { model: transcription } } },
  },
})

/** Every realtime turn, whoever began it and however it ended, and every transcription is settled to the provider's bill. */
export function realtimeIsMetered(gateway: GatewayStack): void {
  async function settled(project: TestProject, count: number) {
    const events = await eventually(() => {
      const found = gateway.eventsOf(project.projectId)
      return found.length >= count && found
    })
    assert.equal(events.length, count, 'nothing is settled twice')
    const bills = await eventually(async () => {
      const found = await gateway.billsOf(project)
      return found.every(({ ended }) => ended !== 'running') && found
    })
    return events.map(event => ({ event, bill: bills.find(bill => bill.response_id === event.response_id) }))
  }

  test('sound in and out through the official client: turns, a transcription and a cancelled turn, to the bill', async () => {
    const project = await gateway.newProject({ ownCredential: true })
    const client = new OpenAIRealtimeWS(
      { model: 'gpt-realtime', options: plainConnection },
      gateway.openai(project.apiKey),
    )
    const events: SocketEvent[] = []
    client.on('event', event => events.push(event))
    const until = (type: string, count = 1) =>
      eventually(() => events.filter(event => event.type === type).length >= count)
    await until('session.created')
    client.send(hearWith('gpt-4o-transcribe') as never)
    client.send(sound(2_340) as never)
    client.send({ type: 'input_audio_buffer.commit' })
    client.send(create('output_tokens=21') as never)
    await until('response.done')
    await until('conversation.item.input_audio_transcription.completed')
    client.send(create('output_tokens=9 ') as never)
    await until('response.done', 2)
    client.send(create('output_tokens=900 delay_ms=4') as never)
    await eventually(() => events.filter(({ type }) => type === 'response.output_audio.delta').length > 40)
    client.send({ type: 'response.cancel' })
    await until('response.done', 3)
    client.close()
    assert.ok(!events.some(({ type }) => type === 'error'))
    const found = await settled(project, 4)
    for (const { event, bill } of found) {
      assert.equal(event.cost_nano_usd, bill?.cost_nano_usd, JSON.stringify(event.quantities))
      assert.ok(event.cost_nano_usd > 0)
      assert.deepEqual([event.status, event.priced], ['completed', true])
      assert.deepEqual(new Set(Object.values(event.provenance)), new Set(['measured']))
    }
    const names = found.map(({ event }) => `${event.endpoint} ${event.requested_model}`).sort()
    assert.deepEqual(names, [
      'realtime gpt-realtime',
      'realtime gpt-realtime',
      'realtime gpt-realtime',
      'realtime.transcription gpt-4o-transcribe',
    ])
    assert.ok(found.some(({ event }) => (event.quantities.in_cache_read_audio ?? 0) > 0))
    assert.ok(found.some(({ event }) => event.finish_reason === 'client_cancelled'))
  })

  test('turns that the provider begins by itself, spoken into, and minutes written down: all on one event each', async () => {
    const project = await gateway.newProject({ ownCredential: true })
    const client = await openSocket(gateway, '/openai/v1/realtime?model=gpt-realtime-mini', project.apiKey)
    client.send(hearWith('whisper-1', { type: 'server_vad' }))
    await client.until('session.updated')
    client.send({
      type: 'conversation.item.create',
      item: {
        type: 'message',
        role: 'user',
        content: [{ type: 'input_text', text: '[[sim output_tokens=300 delay_ms=5 fault=duplicate,unknown]]' }],
      },
    })
    client.send(sound(1_000))
    await client.until('response.output_audio.delta', 10)
    client.send(sound(1_500))
    await client.until('response.done', 2)
    client.send({ type: 'response.cancel' })
    await client.until('response.done', 4)
    client.socket.close()
    const found = await settled(project, 4)
    for (const { event, bill } of found) assert.equal(event.cost_nano_usd, bill?.cost_nano_usd)
    assert.deepEqual(found.map(({ event }) => event.quantities.audio_ms_in ?? 0).sort(), [0, 0, 1_000, 1_500])
  })

  test('while a project’s own prices are announced and not here, what a provider begins is settled by the ones it had, and nothing else begins', async t => {
    const project = await gateway.newProject({ ownCredential: true })
    const client = await openSocket(gateway, realtime, project.apiKey)
    client.send(hearWith('whisper-1', { type: 'server_vad' }))
    await client.until('session.updated')
    const bus = busOf(gateway.stack.natsAdmin)
    const books = await openBucket(bus, 'price-books', PriceBookEntry)
    const price_book_id = `pb_${'0'.repeat(64)}`
    t.after(() => books.delete(price_book_id))
    const entry = { price_book_id, kind: 'override', effective_at_ms: Date.now() - 1_000, size_bytes: 1 } as const
    await books.put(price_book_id, { ...entry, project_id: project.projectId })
    await eventually(async () => {
      const answer = await gateway.post('/v1/chat/completions', project.apiKey, { model: 'none-such', messages: [] })
      await answer.arrayBuffer()
      return answer.status === 503
    })
    client.send(create('output_tokens=1'))
    const [refused] = await client.until('error')
    assert.deepEqual([refused.status, refused.error.code], [503, 'view_stale'])
    client.send(sound(1_000))
    await client.until('response.done')
    await client.until('conversation.item.input_audio_transcription.completed')
    assert.equal(client.socket.readyState, client.socket.OPEN)
    client.socket.close()
    for (const { event, bill } of await settled(project, 2))
      assert.equal(event.cost_nano_usd, bill?.cost_nano_usd, event.endpoint)
  })

  test('incomplete and failed turns are charged as the provider charges them, a refused one is not', async () => {
    const project = await gateway.newProject({ ownCredential: true })
    const client = await openSocket(gateway, realtime, project.apiKey)
    client.send({ ...create('status=500'), event_id: 'mine' })
    const [error] = await client.until('error')
    assert.equal(error.error.event_id, 'mine')
    client.send({
      type: 'response.create',
      response: { instructions: '[[sim output_tokens=50]]', max_output_tokens: 5, output_modalities: ['text'] },
    })
    await client.until('response.done')
    client.send(create('output_tokens=50 fault=error at=7'))
    await client.until('response.done', 2)
    client.socket.close()
    const found = await settled(project, 3)
    const byStatus = new Map(found.map(each => [`${each.event.status} ${each.event.finish_reason ?? ''}`, each]))
    assert.equal(byStatus.get('failed ')?.event.cost_nano_usd, 0)
    for (const key of ['completed max_output_tokens', 'failed failed'])
      assert.equal(byStatus.get(key)?.event.cost_nano_usd, byStatus.get(key)?.bill?.cost_nano_usd, key)
  })

  test('a turn whose socket dies is estimated from what was heard and said; a transcription under way too', async () => {
    const project = await gateway.newProject({ ownCredential: true })
    const client = await openSocket(gateway, realtime, project.apiKey)
    client.send(sound(3_000))
    client.send({ type: 'input_audio_buffer.commit' })
    client.send(create('output_tokens=60 fault=drop at=20'))
    assert.equal((await client.closed).code, 1011)
    const [only] = await settled(project, 1)
    assert.deepEqual([only?.event.status, only?.event.error_code], ['failed', 'provider_ended_early'])
    // 20 tokens are 80 bytes of transcript and two seconds of sound; three seconds were heard.
    assert.deepEqual(
      [only?.event.quantities.out_text, only?.event.quantities.out_audio, only?.event.quantities.in_audio],
      [23, 40, 30],
    )
    assert.equal(only?.event.provenance.out_audio, 'estimated')
  })

  test('a client that leaves in the middle of a turn, under drain: it is read to its end and settles to the bill', async () => {
    const leaveAfterSome = async (everyMs: number) => {
      const project = await gateway.newProject({
        ownCredential: true,
        settings: { on_client_abort: { openai: 'drain', anthropic: 'drain' } },
      })
      const client = await openSocket(gateway, realtime, project.apiKey)
      client.send(hearWith('gpt-4o-transcribe'))
      client.send(sound(1_200))
      client.send({ type: 'input_audio_buffer.commit' })
      client.send(create(`output_tokens=80 delay_ms=${everyMs}`))
      await client.until('response.output_audio.delta', 10)
      client.socket.terminate()
      return settled(project, 2)
    }
    const turnsOf = (left: Awaited<ReturnType<typeof settled>>) =>
      left.map(({ event }) => event).filter(({ endpoint }) => endpoint === 'realtime')
    const found = await beforeTheEnd(leaveAfterSome, turnsOf, 10)
    for (const { event, bill } of found) {
      assert.equal(event.cost_nano_usd, bill?.cost_nano_usd, JSON.stringify(event.quantities))
      assert.equal(bill?.ended, 'completed')
    }
    const [turn] = turnsOf(found)
    assert.deepEqual([turn?.status, turn?.provenance.out_audio], ['aborted', 'drained'])
    assert.equal(turn?.quantities.out_text, 80)
  })

  test('a client that leaves in the middle of a turn, under cancel: the provider is stopped, what was heard and said is estimated', async t => {
    const project = await gateway.newProject({
      ownCredential: true,
      settings: { on_client_abort: { openai: 'cancel', anthropic: 'cancel' } },
    })
    const client = await openSocket(gateway, realtime, project.apiKey)
    // A turn before: what it was told to cost is what the next one hears again.
    client.send(create('output_tokens=5'))
    await client.until('response.done')
    client.send(sound(2_000))
    client.send({ type: 'input_audio_buffer.commit' })
    client.send(create('output_tokens=4000 delay_ms=10'))
    await client.until('response.output_audio.delta', 30)
    client.socket.terminate()
    const found = await settled(project, 2)
    const cancelled = found.find(({ event }) => event.status === 'aborted')
    assert.equal(cancelled?.event.error_code, 'client_closed')
    assert.equal(cancelled?.bill?.ended, 'aborted')
    assert.deepEqual(new Set(Object.values(cancelled.event.provenance)), new Set(['estimated']))
    // No input is reported before a turn's end: of sound the estimate is the provider's own count.
    assert.ok((cancelled.event.quantities.in_audio ?? 0) >= 20)
    const ratio = cancelled.event.cost_nano_usd / (cancelled.bill?.cost_nano_usd ?? 0)
    t.diagnostic(`estimated at ${ratio.toFixed(3)} of the bill`)
    assert.ok(ratio > 0.7 && ratio < 1.3, `${ratio}`)
    const [whole] = found.filter(({ event }) => event.status === 'completed')
    assert.equal(whole?.event.cost_nano_usd, whole?.bill?.cost_nano_usd)
  })

  test('a turn that is left is estimated with the instructions and the input that it brought along', async t => {
    const project = await gateway.newProject({
      ownCredential: true,
      settings: { on_client_abort: { openai: 'cancel', anthropic: 'cancel' } },
    })
    const client = await openSocket(gateway, realtime, project.apiKey)
    const speak = '[[sim output_tokens=4000 delay_ms=10]]'
    const audio = Buffer.alloc(4_000 * 48).toString('base64')
    const own = {
      instructions: `${speak} ${'Speak of the sea. '.repeat(200)}`,
      input: [
        { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'And of the wind. '.repeat(100) }] },
        { type: 'message', role: 'user', content: [{ type: 'input_audio', audio }] },
      ],
      conversation: 'none',
    }
    client.send({ type: 'response.create', response: own })
    await client.until('response.output_audio.delta', 5)
    client.socket.terminate()
    const [only] = await settled(project, 1)
    assert.equal(only?.event.status, 'aborted')
    // Four seconds, and what a quotation mark beside them would sound like.
    const heard = only?.event.quantities.in_audio ?? 0
    assert.ok(heard >= 40 && heard <= 41, `${heard}`)
    // 5,300 bytes of text, and the syntax around them.
    const tokens = only?.event.quantities.in_text ?? 0
    assert.ok(tokens >= 1_400 && tokens < 1_650, `${tokens}`)
    const ratio = only.event.cost_nano_usd / (only.bill?.cost_nano_usd ?? 0)
    t.diagnostic(`estimated at ${ratio.toFixed(3)} of the bill`)
    assert.ok(ratio > 0.7 && ratio < 1.3, `${ratio}`)
  })

  test("a project's own prices that begin or end while a session runs hold from its next turn on; a turn under way keeps its own", async () => {
    const project = await gateway.newProject({ ownCredential: true })
    const path = `/accounts/projects/${project.projectId}/price-book`
    const client = await openSocket(gateway, realtime, project.apiKey)
    // A call beside the session says which book the gateway has by now.
    const untilBook = (id: string | undefined) =>
      eventually(async () => {
        const answer = await gateway.post('/v1/chat/completions', project.apiKey, {
          model: 'gpt-4o-mini',
          messages: [{ role: 'user', content: '[[sim output_tokens=1]]' }],
        })
        await answer.arrayBuffer()
        // Refused while a book is announced and not here.
        if (answer.status !== 200) return false
        const event = await gateway.eventOf(answer.headers.get('sluice-call-id'))
        return event.override_price_book_id === id
      })
    let turns = 0
    const take = async () => {
      client.send(create('output_tokens=5'))
      await client.until('response.done', ++turns)
    }
    const takeWhile = async (change: () => Promise<void>) => {
      client.send(create('output_tokens=4000 delay_ms=10'))
      await client.until('response.output_audio.delta', client.events.filter(isSound).length + 3)
      await change()
      client.send({ type: 'response.cancel' })
      await client.until('response.done', ++turns)
    }
    let own: string | undefined
    await take()
    await takeWhile(async () => {
      const { body } = await gateway.manage('PUT', path, {
        prices: {
          source: 'Contract of 2026-11-26',
          providers: { openai: { models: [{ id: 'gpt-realtime', prices: { out_audio: '100' } }] } },
        },
      })
      own = body.price_book_id
      await untilBook(own)
    })
    await take()
    await takeWhile(async () => {
      await gateway.manage('DELETE', path)
      await untilBook(undefined)
    })
    await take()
    client.socket.close()
    const found = await eventually(() => {
      const events = gateway.eventsOf(project.projectId).filter(({ endpoint }) => endpoint === 'realtime')
      return events.length === turns && events.sort((a, b) => a.admitted_at_ms - b.admitted_at_ms)
    })
    assert.deepEqual(
      found.map(event => event.override_price_book_id),
      [undefined, undefined, own, own, undefined],
    )
    const bills = await gateway.billsOf(project)
    for (const event of found) {
      const bill = bills.find(({ response_id }) => response_id === event.response_id)
      // $100 a million in place of $64.
      const dearer = event.override_price_book_id === undefined ? 0 : (event.quantities.out_audio ?? 0) * 36_000
      assert.equal(event.cost_nano_usd, (bill?.cost_nano_usd ?? 0) + dearer)
      assert.ok((event.quantities.out_audio ?? 0) > 0)
    }
  })

  test('an idle socket costs nothing', async () => {
    const project = await gateway.newProject({ ownCredential: true })
    const client = await openSocket(gateway, realtime, project.apiKey)
    await client.until('session.created')
    client.send(sound(500))
    client.socket.close()
    await client.closed
    assert.deepEqual(gateway.eventsOf(project.projectId), [])
  })
}
