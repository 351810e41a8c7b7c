import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { suite, test } from 'node:test'
import { eventually, sized } from '@sluice/test-env'
import OpenAI, { toFile } from 'openai'
import { type GatewayStack, readChunks, requestIdOf, type TestProject } from '../gateway-stack.ts'
import { inPieces, type ScriptedProvider } from '../scripted-provider.ts'
import { formOf, soundOf } from './files.ts'

const MiB = 1024 * 1024

/** Replies of sound and images end cleanly whatever happens, and cost what they have cost. */
export function mediaEndsCleanly(gateway: GatewayStack, provider: ScriptedProvider, scripted: TestProject): void {
  const slow = { 'x-sim-delay-ms': '40', 'x-sim-first-delay-ms': '100' }
  const speak = { voice: 'alloy', input: 'A long good morning to the sea. '.repeat(20) } as const

  /** Every kind of reply under way, each as its reader sees it. */
  function startCalls(apiKey: string) {
    const client = gateway.openai(apiKey)
    const options = { headers: slow }
    const read = async (events: AsyncIterable<unknown>): Promise<void> => {
      for await (const _ of events);
    }
    const listen = async () => {
      const file = await toFile(soundOf('wav', 9_000), 'a.wav')
      const prompt = '[[sim output_tokens=2000]]'
      return read(
        await client.audio.transcriptions.create({ model: 'gpt-4o-transcribe', file, prompt, stream: true }, options),
      )
    }
    const draw = async () =>
      read(
        await client.images.generate(
          { model: 'gpt-image-1.5', prompt: 'A sea', stream: true, partial_images: 3 },
          { headers: { ...slow, 'x-sim-delay-ms': '700' } },
        ),
      )
    const wholeDraw = async () =>
      client.images.generate(
        { model: 'gpt-image-1.5', prompt: 'A sea' },
        { headers: { ...slow, 'x-sim-delay-ms': '700' } },
      )
    const say = async (body: Partial<OpenAI.Audio.SpeechCreateParams>) =>
      (await client.audio.speech.create({ model: 'gpt-4o-mini-tts', ...speak, ...body }, options)).text()
    return {
      transcript: listen(),
      image: draw(),
      imageWhole: wholeDraw(),
      speechEvents: say({ stream_format: 'sse' }),
      speechUnwrapped: say({ response_format: 'pcm' }),
      speechAlone: say({ model: 'tts-1' }),
    }
  }

  suite('calls that we end', () => {
    test('a key that is revoked ends streams by an error that is raised, and sound by a broken connection', async t => {
      const project = await gateway.newProject({ ownCredential: true })
      const calls = startCalls(project.apiKey)
      const settled = Promise.allSettled(Object.values(calls))
      const count = Object.keys(calls).length
      await eventually(async () => {
        const bills = await gateway.billsOf(project)
        return bills.length === count && bills.every(({ started_at_ms }) => Date.now() - started_at_ms > 300)
      })
      await gateway.manage('DELETE', `/accounts/projects/${project.projectId}/api-keys/${project.keyId}`)
      await settled
      for (const stream of [calls.transcript, calls.image])
        await assert.rejects(stream, (error: unknown) => {
          assert.ok(error instanceof OpenAI.APIError, String(error))
          assert.equal(error.code, 'credential_revoked')
          return true
        })
      await assert.rejects(calls.imageWhole, OpenAI.AuthenticationError)
      assert.match(await calls.speechEvents, /\n\nevent: error\ndata: \{"type":"error".*"credential_revoked".*\}\n\n$/)
      await assert.rejects(calls.speechUnwrapped)
      await assert.rejects(calls.speechAlone)

      const bills = await eventually(async () => {
        const found = await gateway.billsOf(project)
        return found.every(({ ended }) => ended !== 'running') && found
      })
      assert.ok(
        bills.every(({ ended }) => ended === 'aborted'),
        'providers are stopped',
      )
      const events = await eventually(() => {
        const found = gateway.eventsOf(project.projectId)
        return found.length === count && found
      })
      for (const event of events) {
        assert.deepEqual([event.status, event.cut_by?.reason], ['cut', 'credential_revoked'])
        assert.ok(event.cost_nano_usd > 0)
        for (const mark of Object.values(event.provenance)) assert.equal(mark, 'estimated')
        const bill = bills.find(({ bill_id }) => bill_id === event.provider_request_id)
        t.diagnostic(`${event.endpoint} recorded ${event.cost_nano_usd}, billed ${bill?.cost_nano_usd} nano-USD`)
      }
    })
  })

  suite('what providers do', { concurrency: 3 }, () => {
    const faults = ['unknown', 'crlf', 'duplicate', 'garbage', 'unknown,crlf,duplicate']
    for (const [index, fault] of faults.entries()) {
      test(`odd events change no cost: ${fault}`, async () => {
        const { apiKey } = gateway.stack
        const client = gateway.openai(apiKey)
        const options = { headers: { 'x-sim-fault': fault, 'x-sim-chop': '1000' } }
        const ways = [
          () =>
            client.images
              .generate({ model: 'gpt-image-1-mini', prompt: 'x', stream: true, partial_images: 2 }, options)
              .asResponse(),
          () => client.audio.speech.create({ model: 'gpt-4o-mini-tts', ...speak, stream_format: 'sse' }, options),
          async () =>
            client.audio.transcriptions
              .create(
                { model: 'gpt-4o-transcribe', file: await toFile(soundOf('mp3', 2_400), 'a'), stream: true },
                options,
              )
              .asResponse(),
          () => client.audio.speech.create({ model: 'gpt-4o-mini-tts', ...speak, response_format: 'wav' }, options),
        ]
        // In each way, or all faults at once in each way, of the others one in one half of them and the next in the other.
        for (const [at, ask] of ways.entries()) {
          if (!sized({ small: fault.includes(',') || at % 2 === index % 2, full: true })) continue
          const answer = await ask()
          await answer.arrayBuffer()
          const bill = await gateway.closedBillOf(requestIdOf(answer))
          const event = await gateway.eventOf(answer.headers.get('sluice-call-id'))
          assert.deepEqual([event.status, event.cost_nano_usd], ['completed', bill.cost_nano_usd], event.endpoint)
        }
      })
    }

    test('a provider that tells no usage is not free', async () => {
      const client = gateway.openai(gateway.stack.apiKey)
      const options = { headers: { 'x-sim-fault': 'no_usage' } }
      const answers = [
        await client.images.generate({ model: 'gpt-image-1.5', prompt: 'x', n: 2 }, options).asResponse(),
        await client.images.generate({ model: 'gpt-image-1.5', prompt: 'x', stream: true }, options).asResponse(),
        await client.audio.speech.create({ model: 'gpt-4o-mini-tts', ...speak }, options),
      ]
      for (const answer of answers) {
        await answer.arrayBuffer()
        const event = await gateway.eventOf(answer.headers.get('sluice-call-id'))
        assert.ok(event.cost_nano_usd > 0, event.endpoint)
        for (const mark of Object.values(event.provenance)) assert.equal(mark, 'estimated')
      }
    })

    test('a stream that fails midway raises, costs its part, and sound that fails breaks off', async () => {
      const client = gateway.openai(gateway.stack.apiKey)
      const options = { headers: { 'x-sim-fault': 'error', 'x-sim-at': '30' } }
      const stream = await client.audio.transcriptions
        .create(
          {
            model: 'gpt-4o-transcribe',
            file: await toFile(soundOf('wav', 2_000), 'a'),
            prompt: '[[sim output_tokens=50]]',
            stream: true,
          },
          options,
        )
        .withResponse()
      await assert.rejects(async () => {
        for await (const _ of stream.data);
      }, OpenAI.APIError)
      const event = await gateway.eventOf(stream.response.headers.get('sluice-call-id'))
      assert.deepEqual([event.status, event.error_code], ['failed', 'provider_failed_in_stream'])
      assert.ok((event.quantities.out_text ?? 0) > 0 && (event.quantities.in_audio ?? 0) > 0)
      const sound = await client.audio.speech.create({ model: 'gpt-4o-mini-tts', ...speak }, options)
      await assert.rejects(sound.arrayBuffer())
      const half = await gateway.eventOf(sound.headers.get('sluice-call-id'))
      assert.deepEqual([half.status, half.error_code], ['failed', 'provider_failed_in_stream'])
      assert.ok(half.cost_nano_usd > 0)
    })

    test('sound whose connection breaks costs its characters and is not passed off as whole', async () => {
      const client = gateway.openai(gateway.stack.apiKey)
      const options = { headers: { 'x-sim-fault': 'drop', 'x-sim-at-byte': '9000' } }
      const answer = await client.audio.speech.create({ model: 'tts-1', ...speak }, options)
      await assert.rejects(answer.arrayBuffer())
      const event = await gateway.eventOf(answer.headers.get('sluice-call-id'))
      const bill = await gateway.closedBillOf(requestIdOf(answer))
      assert.deepEqual([event.status, event.cost_nano_usd], ['failed', bill.cost_nano_usd])
      assert.deepEqual(event.provenance, { chars_in: 'estimated' })
    })

    test('speech from a provider that knows no events passes as it comes, estimated', async () => {
      const sound = soundOf('wav', 20_000)
      const script = provider.add({ headers: ['content-type', 'audio/wav'], chunks: inPieces(sound, 10_007) })
      const body = { model: 'gpt-4o-mini-tts', ...speak, response_format: 'wav' }
      const answer = await gateway.post('/v1/audio/speech', scripted.apiKey, body, { headers: { 'x-script': script } })
      assert.ok(Buffer.concat(await readChunks(answer.body)).equals(sound))
      const event = await gateway.eventOf(answer.headers.get('sluice-call-id'))
      assert.deepEqual(event.provenance, { in_text: 'estimated', out_audio: 'estimated' })
    })

    test('ten large images pass as they come, byte for byte, with little memory, and are counted', async () => {
      const picture = 'A'.repeat(sized({ small: 1, full: 3 }) * MiB)
      const usage = {
        input_tokens: 12,
        input_tokens_details: { text_tokens: 12, image_tokens: 0 },
        output_tokens: 10_560,
      }
      const reply = {
        created: 1,
        data: Array.from({ length: 10 }, () => ({ b64_json: picture })),
        quality: 'medium',
        size: '1024x1024',
        usage,
      }
      const bytes = Buffer.from(JSON.stringify(reply))
      for (const [more, expected] of [
        [{}, { in_text: 12, out_image: 10_560 }],
        [{ usage: undefined, size: undefined, quality: undefined }, { images: 10 }],
      ] as const) {
        const told = more === undefined ? bytes : Buffer.from(JSON.stringify({ ...reply, ...more }))
        const script = provider.add({ chunks: inPieces(told, 65_536) })
        const model = 'images' in expected ? 'dall-e-2' : 'gpt-image-1.5'
        const body = { model, prompt: 'x', n: 10 }
        const answer = await gateway.post('/v1/images/generations', scripted.apiKey, body, {
          headers: { 'x-script': script },
        })
        assert.ok(Buffer.concat(await readChunks(answer.body)).equals(told))
        const event = await gateway.eventOf(answer.headers.get('sluice-call-id'))
        assert.deepEqual(event.quantities, expected)
        assert.ok(Object.values(event.provenance).every(mark => mark === 'measured'))
      }
    })
  })

  test('a listener that takes nothing slows its provider down', async () => {
    const piece = Buffer.alloc(65_536, 1)
    const script = provider.add({
      headers: ['content-type', 'audio/mpeg'],
      chunks: Array.from({ length: 2_000 }, () => piece),
    })
    const before = provider.written
    const { port, hostname } = new URL(gateway.url)
    const body = JSON.stringify({ model: 'tts-1', ...speak })
    const socket = connect(Number(port), hostname)
    socket.on('error', () => undefined)
    socket.write(
      `POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\nX-Api-Key: ${scripted.apiKey}\r\nX-Script: ${script}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    )
    await new Promise(resolve => socket.once('data', resolve))
    socket.pause()
    let last = -1
    // All that the kernel holds for three sockets has left, and then nothing more does.
    await eventually(
      async () => {
        const stands = provider.written === last
        last = provider.written
        return stands
      },
      { intervalMs: 700 },
    )
    assert.ok(last - before < 48 * MiB, `${last - before} bytes have left the provider`)
    socket.destroy()
  })

  test('a receipt is a comment of streams, and never a part of sound or of a body', async () => {
    const options = { headers: { 'sluice-receipt': '1' } }
    const client = gateway.openai(gateway.stack.apiKey)
    const plain = await client.audio.speech.create({ model: 'gpt-4o-mini-tts', ...speak, response_format: 'pcm' })
    const asked = await client.audio.speech.create(
      { model: 'gpt-4o-mini-tts', ...speak, response_format: 'pcm' },
      options,
    )
    assert.ok(Buffer.from(await asked.arrayBuffer()).equals(Buffer.from(await plain.arrayBuffer())))
    const events = await client.audio.speech.create(
      { model: 'gpt-4o-mini-tts', ...speak, stream_format: 'sse' },
      options,
    )
    assert.match(await events.text(), /\n\n: sluice-receipt \{"call_id".*\}\n\n$/)
  })

  test('models in the lists of a credential hold for forms too', async () => {
    const project = await gateway.newProject({ key: { models: ['openai/gpt-4o-transcribe'] } })
    const { type, body } = formOf([
      { name: 'model', value: 'whisper-1' },
      { name: 'file', value: soundOf('wav', 500), file: 'a' },
    ])
    const answer = await gateway.post('/v1/audio/translations', project.apiKey, new Uint8Array(body), {
      headers: { 'content-type': type },
    })
    assert.equal(answer.status, 403)
    assert.match(await answer.text(), /model_not_allowed/)
  })
}
