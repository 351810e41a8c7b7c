import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { createServer } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { BodyMemory } from '../read-request.ts'
import type { Refusal } from '../refusal.ts'
import { type ReceivedForm, receiveForm } from './receive-form.ts'
import { Spool } from './spool.ts'

const field = (name: string, value: string) =>
  `--b\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`
const end = '--b--\r\n'

/** A server that receives one form after the other, and a client's connection to it. */
async function listen(t: TestContext, spaceBytes: number) {
  const folder = await mkdtemp(join(tmpdir(), 'forms-'))
  const space = new BodyMemory(spaceBytes)
  const spool = await Spool.open(folder, space)
  const received: Promise<ReceivedForm | Refusal>[] = []
  const server = createServer((request, response) => {
    const form = receiveForm(spool, request, { boundary: 'b', wanted: new Set(['model']), maxBytes: 2_000_000 })
    received.push(
      form.then(
        found => {
          response.end('ok')
          return found
        },
        (refusal: Refusal) => {
          response.writeHead(400, { connection: 'close' }).end(refusal.reason)
          return refusal
        },
      ),
    )
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(async () => {
    server.closeAllConnections()
    server.close()
    await rm(folder, { recursive: true, force: true })
  })
  const send = async (head: string, body: string | Buffer): Promise<Socket> => {
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
    socket.on('error', () => undefined)
    await once(socket, 'connect')
    socket.write(`POST / HTTP/1.1\r\nHost: x\r\n${head}\r\n\r\n`)
    socket.write(body)
    return socket
  }
  const next = async (index: number): Promise<ReceivedForm | Refusal> => {
    while (!received[index]) await new Promise(resolve => setTimeout(resolve, 2))
    return received[index]
  }
  /** Waits until so many bytes are on disk. */
  const untilStored = async (bytes: number): Promise<void> => {
    for (let left = 2_000; ; left--) {
      const sizes = await Promise.all((await readdir(folder)).map(async name => (await stat(join(folder, name))).size))
      if (sizes.reduce((sum, size) => sum + size, 0) >= bytes) return
      assert.ok(left > 0, 'the form arrives')
      await new Promise(resolve => setTimeout(resolve, 5))
    }
  }
  const untilEmpty = async (): Promise<void> => {
    for (let left = 400; (await readdir(folder)).length > 0; left--) {
      assert.ok(left > 0, 'no file is left')
      await new Promise(resolve => setTimeout(resolve, 5))
    }
    // All of the room is free again.
    space.take(spaceBytes)
    space.release(spaceBytes)
  }
  return { send, next, untilEmpty, untilStored }
}

test('a form is on disk byte for byte, and gone when it is discarded', async t => {
  const { send, next, untilEmpty } = await listen(t, 5_000_000)
  const body = field('prompt', 'x'.repeat(1_500_000)) + field('model', 'm') + end
  await send(`Content-Length: ${body.length}`, body)
  const form = (await next(0)) as ReceivedForm
  assert.equal((await readFile(form.file.path)).toString(), body)
  assert.deepEqual([form.file.size, form.fields.get('model')], [body.length, 'm'])
  form.file.discard()
  await untilEmpty()
})

test('a form that is too large is refused, announced or not, and leaves nothing behind', async t => {
  const { send, next, untilEmpty } = await listen(t, 5_000_000)
  const announced = await send('Content-Length: 2000001', '--b\r\n')
  assert.equal(((await next(0)) as Refusal).reason, 'body_too_large')
  const [answer] = (await once(announced, 'data')) as [Buffer]
  assert.match(answer.toString(), /^HTTP\/1.1 400 [\s\S]*body_too_large/, 'it is told')
  const chunk = Buffer.from(`--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n${'x'.repeat(2_100_000)}`)
  await send('Transfer-Encoding: chunked', Buffer.concat([Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk]))
  assert.equal(((await next(1)) as Refusal).reason, 'body_too_large')
  await untilEmpty()
})

test('a client that breaks off leaves nothing behind', async t => {
  const { send, next, untilEmpty } = await listen(t, 5_000_000)
  const socket = await send('Content-Length: 1000000', field('x', 'x'.repeat(200_000)))
  await new Promise(resolve => setTimeout(resolve, 50))
  socket.destroy()
  assert.equal(((await next(0)) as Refusal).reason, 'invalid_request')
  await untilEmpty()
})

test('forms that would fill the room are refused, and those that are in it come to their end', async t => {
  const { send, next, untilEmpty, untilStored } = await listen(t, 2_500_000)
  const body = field('x', 'x'.repeat(1_500_000)) + end
  const first = await send(`Content-Length: ${body.length}`, body.slice(0, -4))
  await untilStored(1_500_000)
  await send(`Content-Length: ${body.length}`, body)
  assert.equal(((await next(1)) as Refusal).reason, 'overloaded')
  first.write(body.slice(-4))
  const form = (await next(0)) as ReceivedForm
  assert.equal(form.file.size, body.length)
  form.file.discard()
  await untilEmpty()
})

test('a form that is wrong in its first bytes is refused before its last', async t => {
  const { send, next, untilEmpty } = await listen(t, 5_000_000)
  const socket = await send('Content-Length: 1900000', 'no form')
  assert.equal(((await next(0)) as Refusal).reason, 'invalid_request')
  const [answer] = (await once(socket, 'data')) as [Buffer]
  assert.match(answer.toString(), /invalid_request/)
  await untilEmpty()
})
