import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { suite, test } from 'node:test'
import { eventually, sized } from '@sluice/test-env'
import { type GatewayStack, requestIdOf } from '../gateway-stack.ts'
import { formOf, pictureOf, soundOf } from './files.ts'

const MiB = 1024 * 1024
const transcriptions = '/v1/audio/transcriptions'

/** Forms reach their provider as they were written, or are refused in clear words; nothing of them stays on disk. */
export function uploadsAreSafe(gateway: GatewayStack, spoolDir: string): void {
  const post = (path: string, { type, body }: { type: string; body: Buffer }) =>
    gateway.post(path, gateway.stack.apiKey, new Uint8Array(body), { headers: { 'content-type': type } })
  const sound = soundOf('wav', 3_000)
  const model = { name: 'model', value: 'whisper-1' }
  const file = { name: 'file', value: sound, file: 'a.wav' }

  suite('uploads', { concurrency: 3 }, () => {
    for (const [name, form] of [
      ['the model in front', formOf([model, file])],
      ['the model behind the file', formOf([file, model])],
      ['a boundary of the oddest letters', formOf([model, file], "'()+_,-./:=?0a")],
      ['fields that nobody knows', formOf([{ name: 'future[]', value: 'é\r\n--x' }, model, file])],
    ] as const) {
      test(`a form arrives byte for byte: ${name}`, async () => {
        const type = form.type.includes("'") ? form.type.replace(/boundary=(.*)/, 'boundary="$1"') : form.type
        const answer = await post(transcriptions, { ...form, type })
        assert.equal(answer.status, 200, await answer.clone().text())
        const arrived = await gateway.arrived(requestIdOf(answer))
        assert.ok(arrived.bytes.equals(form.body))
        assert.deepEqual(arrived.header('content-type'), [type])
      })
    }

    // 16 bytes each: 8 MB, or the 25 that are allowed.
    const longMs = sized({ small: 500_000, full: 1_560_000 })
    test('a form of many megabytes with its model at the end is served and metered', async () => {
      const form = formOf([{ ...file, value: soundOf('wav', longMs) }, model])
      assert.ok(form.body.length > 16 * longMs, `${form.body.length} bytes`)
      const answer = await post(transcriptions, form)
      assert.equal(answer.status, 200)
      const event = await gateway.eventOf(answer.headers.get('sluice-call-id'))
      assert.deepEqual(event.quantities, { audio_ms_in: longMs })
      assert.equal(event.cost_nano_usd, (await gateway.closedBillOf(requestIdOf(answer))).cost_nano_usd)
      assert.ok((await gateway.arrived(requestIdOf(answer))).bytes.equals(form.body))
    })

    const refused: [string, string, ReturnType<typeof formOf>, number, string, RegExp][] = [
      ['no model', transcriptions, formOf([file]), 400, 'model_missing', /names no "model"/],
      ['two models', transcriptions, formOf([model, file, model]), 400, 'invalid_request', /"model" twice/],
      ['two sounds', transcriptions, formOf([model, file, file]), 400, 'invalid_request', /one "file"/],
      [
        'a sound that is no file',
        transcriptions,
        formOf([model, { name: 'file', value: sound }]),
        400,
        'invalid_request',
        /one "file"/,
      ],
      [
        'a model in a file',
        transcriptions,
        formOf([file, { ...model, file: 'm.txt' }]),
        400,
        'invalid_request',
        /"model" is a file/,
      ],
      [
        'a model without a price',
        transcriptions,
        formOf([{ name: 'model', value: 'whisper-9' }, file]),
        400,
        'model_not_priced',
        /has no price/,
      ],
      ['JSON', transcriptions, { type: 'application/json', body: Buffer.from('{}') }, 400, 'invalid_request', /form/],
      [
        'another boundary than announced',
        transcriptions,
        { type: 'multipart/form-data; boundary=other', body: formOf([model, file]).body },
        400,
        'invalid_request',
        /begin with its boundary/,
      ],
      [
        'a form behind the form',
        '/v1/images/edits',
        { ...formOf([model]), body: Buffer.concat([formOf([model]).body, formOf([file]).body]) },
        400,
        'invalid_request',
        /behind its end/,
      ],
      [
        'sound above 25 MB',
        transcriptions,
        formOf([model, { ...file, value: Buffer.alloc(26 * MiB) }]),
        413,
        'body_too_large',
        /larger than/,
      ],
    ]
    for (const [name, path, form, status, code, message] of refused) {
      test(`a form is refused in clear words: ${name}`, async () => {
        const answer = await post(path, form)
        const { error } = (await answer.json()) as { error: { code: string; message: string } }
        assert.deepEqual([answer.status, error.code], [status, code])
        assert.match(error.message, message)
      })
    }

    test('images above 50 MB are refused before they are sent', async () => {
      const socketAnswer = await gateway.raw(
        `POST /v1/images/edits HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${gateway.stack.apiKey}\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: ${60 * MiB}\r\n\r\n`,
      )
      assert.match(socketAnswer, /^HTTP\/1\.1 413 [\s\S]*body_too_large/)
    })

    test('two Content-Type headers, of which readers choose differently, are refused', async () => {
      const { body } = formOf([model, file], 'b')
      const head = `POST ${transcriptions} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${gateway.stack.apiKey}\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Type: multipart/form-data; boundary=c\r\nContent-Length: ${body.length}\r\n\r\n`
      assert.match(await gateway.raw(Buffer.concat([Buffer.from(head), body])), /^HTTP\/1\.1 400 /)
    })

    test('a form without a length arrives with one', async () => {
      const { body } = formOf([model, file], 'b')
      const pieces = [body.subarray(0, 100), body.subarray(100)].map(piece =>
        Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')]),
      )
      const head = `POST ${transcriptions} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${gateway.stack.apiKey}\r\nContent-Type: multipart/form-data; boundary=b\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n`
      const text = await gateway.raw(Buffer.concat([Buffer.from(head), ...pieces, Buffer.from('0\r\n\r\n')]))
      assert.match(text, /^HTTP\/1\.1 200 /)
      const arrived = await gateway.arrived(/x-request-id: (\S+)/i.exec(text)?.[1] ?? null)
      assert.ok(arrived.bytes.equals(body))
      assert.deepEqual(arrived.header('content-length'), [String(body.length)])
      assert.deepEqual(arrived.header('transfer-encoding'), [])
    })

    test('a client that leaves in the middle of its upload has made no call', async () => {
      const project = await gateway.newProject({ ownCredential: true })
      const head = `POST ${transcriptions} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${project.apiKey}\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 5000000\r\n\r\n`
      await gateway.raw(Buffer.concat([Buffer.from(head), formOf([model, file], 'b').body.subarray(0, 40_000)]), 400)
      assert.deepEqual(await gateway.billsOf(project), [])
      assert.deepEqual(gateway.eventsOf(project.projectId), [])
    })

    test('an edit whose images are links goes as JSON, byte for byte, and is metered', async () => {
      const text =
        '{ "model" : "gpt-image-1-mini","prompt":"A sea","images":[{"image_url":"https://x.invalid/a.png"}], "n":2}'
      const answer = await post('/v1/images/edits', { type: 'application/json', body: Buffer.from(text) })
      assert.equal(answer.status, 200)
      assert.equal((await gateway.arrived(requestIdOf(answer))).bytes.toString(), text)
      const event = await gateway.eventOf(answer.headers.get('sluice-call-id'))
      assert.equal(event.cost_nano_usd, (await gateway.closedBillOf(requestIdOf(answer))).cost_nano_usd)
      assert.ok((event.quantities.in_image ?? 0) > 0)
    })

    test('a picture whose edit fails costs nothing, and the provider’s words pass', async () => {
      const picture = { name: 'image', value: pictureOf(), file: 'a.png' }
      const form = formOf([
        { name: 'model', value: 'gpt-image-1.5' },
        picture,
        { name: 'prompt', value: '[[sim status=429 retry_after=7]]' },
      ])
      const answer = await post('/v1/images/edits', form)
      assert.deepEqual([answer.status, answer.headers.get('retry-after')], [429, '7'])
      const event = await gateway.eventOf(answer.headers.get('sluice-call-id'))
      assert.deepEqual([event.status, event.cost_nano_usd, event.error_code], ['failed', 0, 'provider_429'])
    })
  })

  suite('behind all of them', () => {
    test('no upload is left on disk', async () => {
      await eventually(() => readdirSync(spoolDir).length === 0)
    })
  })
}
