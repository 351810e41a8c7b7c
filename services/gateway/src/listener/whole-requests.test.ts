import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { readFileSync } from 'node:fs'
import {
  createServer as createHttpServer,
  request as httpRequest,
  type IncomingMessage,
  type RequestListener,
  type RequestOptions,
} from 'node:http'
import { createServer as createHttpsServer, request as httpsRequest } from 'node:https'
import { type AddressInfo, connect as connectTcp, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { text } from 'node:stream/consumers'
import testOnce, { type TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import { promisify } from 'node:util'
import type { Endpoint } from '../endpoints.ts'
import { BodyMemory } from '../read-request.ts'
import type { Refusal } from '../refusal.ts'
import { ClientConnection } from './client-connection.ts'
import { ComingBody } from './coming-body.ts'
import type { WholeExchange } from './whole-exchange.ts'
import { WholeRequests } from './whole-requests.ts'

const endpoint = { maxBodyBytes: 1024 * 1024 } as Endpoint
const memory = new BodyMemory(1024 * 1024 * 1024)

const pem = (name: string) => readFileSync(new URL(`../../test/fixtures/tls/${name}.pem`, import.meta.url), 'utf8')
const certificate = { key: pem('provider-key'), cert: pem('trusted') }
const trusting = { host: '127.0.0.1', servername: 'provider.test', ca: pem('ca') }

/** How a server of these tests listens: what stands in front of it does the same on both. */
const wires = {
  plain: {
    createServer: (answer: RequestListener) => createHttpServer(answer),
    event: 'connection',
    connect: (port: number) => ({ socket: connectTcp(port, '127.0.0.1'), readyEvent: 'connect' }),
    request: (port: number, options: RequestOptions) => httpRequest({ ...options, host: '127.0.0.1', port }),
  },
  TLS: {
    createServer: (answer: RequestListener) => createHttpsServer(certificate, answer),
    event: 'secureConnection',
    connect: (port: number) => ({ socket: connectTls({ ...trusting, port }), readyEvent: 'secureConnect' }),
    request: (port: number, options: RequestOptions) => httpsRequest({ ...options, ...trusting, port }),
  },
} as const
type Wire = (typeof wires)[keyof typeof wires]
const wireOfTest = new WeakMap<TestContext, Wire>()

function wireOf(t: TestContext): Wire {
  const wire = wireOfTest.get(t)
  assert.ok(wire)
  return wire
}

/** On both wires. */
function test(name: string, body: (t: TestContext) => Promise<void>): void {
  for (const [wireName, wire] of Object.entries(wires))
    testOnce(`${wireName}: ${name}`, t => {
      wireOfTest.set(t, wire)
      return body(t)
    })
}

/** A server that says who answered, and with which body; `/mine` is answered in front of it. */
async function serve(t: TestContext, answer: (exchange: WholeExchange) => void = echo) {
  const wire = wireOf(t)
  const server = wire.createServer(async (request, response) => {
    const body = await text(request)
    response.end(`server ${request.method} ${request.url} ${body.length} ${body.slice(0, 20)}`)
  })
  const whole = new WholeRequests(server, wire.event, head => (head.target === '/mine' ? answer : undefined))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    whole.close()
    whole.destroyAll()
    server.closeAllConnections()
    server.close()
  })
  return { whole, server, port: (server.address() as AddressInfo).port }
}

function echo(exchange: WholeExchange): void {
  const body = exchange.receive(endpoint, memory) as Buffer
  const answer = `mine ${body}`
  exchange.writeHead(200, ['content-type', 'text/plain', 'content-length', String(Buffer.byteLength(answer))])
  exchange.end(answer, 'latin1')
}

function echoNothing(exchange: WholeExchange): void {
  exchange.writeHead(200, ['content-length', '0'])
  exchange.end()
}

function ask(body: string, path = '/mine', more = ''): string {
  return `POST ${path} HTTP/1.1\r\nHost: a\r\n${more}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
}

/** A raw client, and all that it has been answered. */
async function client(t: TestContext, port: number): Promise<{ socket: Socket; answered: () => string }> {
  const { socket, readyEvent } = wireOf(t).connect(port)
  let all = ''
  socket.on('data', bytes => {
    all += bytes.toString('latin1')
  })
  socket.on('error', () => {})
  t.after(() => socket.destroy())
  await once(socket, readyEvent)
  return { socket, answered: () => all }
}

async function until(what: () => boolean): Promise<void> {
  const deadline = Date.now() + 30_000
  while (!what()) {
    assert.ok(Date.now() < deadline, 'it did not come')
    await delay(5)
  }
}

const countOf = (all: string, part: string): number => all.split(part).length - 1

test('request after request of a connection is answered in front of the server, with the headers its answers have', async t => {
  const { port } = await serve(t)
  const { socket, answered } = await client(t, port)
  for (const body of ['one', 'a second one', '']) {
    const before = answered().length
    socket.write(ask(body))
    await until(() => answered().endsWith(`mine ${body}`) && answered().length > before)
  }
  assert.equal(countOf(answered(), 'HTTP/1.1 200 OK\r\n'), 3)
  assert.equal(countOf(answered(), 'Connection: keep-alive\r\nKeep-Alive: timeout=72\r\n'), 3)
  assert.match(answered(), /\r\nDate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n/)
})

test('a request is answered once, wherever it is cut on its way', async t => {
  const { port } = await serve(t)
  const whole = ask('{"a":1}')
  await Promise.all(
    Array.from({ length: whole.length - 1 }, async (_, at) => {
      const { socket, answered } = await client(t, port)
      socket.setNoDelay(true)
      socket.write(whole.slice(0, at + 1))
      await delay(10)
      socket.write(whole.slice(at + 1))
      await until(() => answered().endsWith('mine {"a":1}'))
      await delay(5)
      assert.equal(countOf(answered(), 'HTTP/1.1'), 1)
    }),
  )
})

test('a request that comes byte by byte is answered', async t => {
  const { port } = await serve(t)
  const { socket, answered } = await client(t, port)
  socket.setNoDelay(true)
  for (const letter of ask('{"a":1}')) {
    socket.write(letter)
    await new Promise(setImmediate)
  }
  await until(() => answered().endsWith('mine {"a":1}'))
})

test('what is not for the front is the server’s, byte for byte, and so is all that follows', async t => {
  const { port } = await serve(t)
  for (const [what, bytes, expected] of [
    ['another path', ask('{"a":1}', '/other'), 'server POST /other 7 {"a":1}'],
    ['another method', 'GET /mine HTTP/1.1\r\nHost: a\r\n\r\n', 'server GET /mine 0 '],
    [
      'a chunked body',
      'POST /mine HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
      'server POST /mine 3 abc',
    ],
    ['a very large body', ask('b'.repeat(1_100_000)), 'server POST /mine 1100000 bbb'],
  ] as const) {
    const { socket, answered } = await client(t, port)
    socket.write(ask('first'))
    await until(() => answered().endsWith('mine first'))
    socket.write(bytes)
    await until(() => answered().includes(expected))
    socket.write(ask('later'))
    await until(() => answered().includes('server POST /mine 5 later'))
    assert.equal(countOf(answered(), 'HTTP/1.1 200 OK'), 3, what)
  }
})

test('what a client has sent is its own while it is answered, whatever others send meanwhile', async t => {
  const { port } = await serve(t, exchange => setTimeout(() => echo(exchange), 20))
  const bodies = Array.from({ length: 20 }, (_, i) => String(i % 10).repeat(200 + i))
  const clients = await Promise.all(bodies.map(() => client(t, port)))
  for (const [i, { socket }] of clients.entries()) socket.write(ask(bodies[i] ?? ''))
  for (const [i, { answered }] of clients.entries()) await until(() => answered().endsWith(`mine ${bodies[i]}`))
})

test('a connection that the server takes over may change its protocol, and is slowed down by a reader of it', async t => {
  const total = 24 * 1024 * 1024
  const { server, port } = await serve(t)
  let received = 0
  let upgraded: Duplex | undefined
  server.on('upgrade', (_request, stream: Duplex, head: Buffer) => {
    upgraded = stream
    stream.on('data', (bytes: Buffer) => {
      received += bytes.length
    })
    received += head.length
    stream.pause()
    stream.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: a\r\n\r\n')
  })
  const { socket, answered } = await client(t, port)
  socket.write(ask('first'))
  await until(() => answered().endsWith('mine first'))
  socket.write('GET /mine HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: a\r\n\r\n')
  await until(() => answered().includes('101 Switching Protocols'))
  socket.write(Buffer.alloc(total))
  let before = -1
  while (before !== socket.bytesWritten - socket.writableLength) {
    before = socket.bytesWritten - socket.writableLength
    await delay(100)
  }
  assert.ok(received < total / 2 && socket.writableLength > 0, 'all of it was taken for a reader that had stopped')
  upgraded?.resume()
  await until(() => received === total)
})

test('a server that closes waits for its connections, whoever reads them', async t => {
  const { server, port } = await serve(t)
  const clients = await Promise.all([client(t, port), client(t, port)])
  const count = promisify(server.getConnections.bind(server))
  while ((await count()) < 2) await delay(5)
  assert.equal(await count(), 2)
  clients[0]?.socket.write(ask('{}', '/other'))
  await until(() => clients[0]?.answered().includes('server POST') === true)
  const closed = once(server, 'close')
  server.close()
  for (const { socket } of clients) socket.destroy()
  await closed
})

/** What a body is told by, where all of it would be too much to compare by eye. */
const told = (body: Buffer): string => `${body.length} ${createHash('sha256').update(body).digest('hex')}`
const large = randomBytes(300_000)
const askLarge = (body: Buffer): Buffer =>
  Buffer.concat([Buffer.from(`POST /mine HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n`), body])

test('a large body is received byte for byte, wherever it is cut, asked for at once or later; then comes the next request', async t => {
  let waits = 0
  const memory = new BodyMemory(8 * 1024 * 1024)
  const { port } = await serve(t, async exchange => {
    if (waits > 0) await delay(waits)
    const body = await exchange.receive(endpoint, memory)
    assert.equal(memory.usedBytes, body.length)
    memory.release(body.length)
    exchange.writeHead(200, [])
    exchange.end(`mine ${told(body)}`)
  })
  for (const at of [1, 40, 70, 65_000, 66_000, 200_000, 300_000, 300_070])
    for (waits of [0, 15]) {
      const { socket, answered } = await client(t, port)
      socket.setNoDelay(true)
      const bytes = Buffer.concat([askLarge(large), Buffer.from(ask('next'))])
      socket.write(bytes.subarray(0, at))
      await delay(5)
      socket.write(bytes.subarray(at))
      await until(() => answered().includes(`mine ${told(Buffer.from('next'))}`))
      assert.ok(answered().includes(`mine ${told(large)}`))
      assert.equal(memory.usedBytes, 0)
      socket.destroy()
    }
})

test('nothing more is read of a large body that nobody has asked for', async t => {
  let ask = (): void => {}
  const { whole, port } = await serve(t, exchange => {
    ask = () => void Promise.resolve(exchange.receive(endpoint, memory)).then(() => echoNothing(exchange))
  })
  const taken = t.mock.method(whole, 'takeRoom')
  const { socket, answered } = await client(t, port)
  let read = 0
  socket.write(askLarge(Buffer.alloc(1024 * 1024, 'b')))
  await until(() => taken.mock.callCount() > 0)
  const server = t.mock.method(ComingBody.prototype, 'take', function (this: ComingBody, bytes: Buffer) {
    read += bytes.length
    return bytes.length
  })
  await delay(50)
  server.mock.restore()
  // With TLS, what was decrypted before.
  assert.ok(read <= 128 * 1024, `${read} bytes`)
  ask()
  await until(() => answered().includes('HTTP/1.1 200'))
})

test('a refused client with a large body is answered, and its connection ends: nothing of the body is read as a request', async t => {
  let answers = 0
  const { port } = await serve(t, async exchange => {
    answers++
    await exchange.takeRest()
    exchange.writeHead(401, ['content-length', '0'])
    exchange.end()
  })
  const whole = await client(t, port)
  whole.socket.write(askLarge(large))
  await until(() => whole.answered().includes('HTTP/1.1 401'))
  assert.match(whole.answered(), /Connection: keep-alive/)
  const partly = await client(t, port)
  const hidden = Buffer.concat([Buffer.alloc(100_000, 'b'), Buffer.from(ask('EVIL'))])
  partly.socket.write(askLarge(Buffer.alloc(300_000, 'b')).subarray(0, 100_000))
  await until(() => partly.answered().includes('HTTP/1.1 401'))
  assert.match(partly.answered(), /Connection: close/)
  partly.socket.write(hidden)
  await until(() => partly.socket.closed)
  assert.equal(answers, 2)
})

test('a large body is refused where it is larger than its path or the memory, where that is full, and where it ends early', async t => {
  const refusals: string[] = []
  const memory = new BodyMemory(350_000)
  const { port } = await serve(t, async exchange => {
    try {
      await exchange.receive({ maxBodyBytes: 320_000 } as Endpoint, memory)
    } catch (refusal) {
      refusals.push((refusal as Refusal).reason)
    }
    await exchange.takeRest()
    echoNothing(exchange)
  })
  const askFor = async (bytes: number, sent = bytes) => {
    const { socket } = await client(t, port)
    socket.write(askLarge(Buffer.alloc(bytes, 'b')).subarray(0, sent))
    return socket
  }
  await askFor(330_000)
  await until(() => refusals.length === 1)
  const early = await askFor(300_000, 200_000)
  await until(() => memory.usedBytes > 190_000)
  await askFor(310_000)
  await until(() => refusals.length === 2)
  early.destroy()
  await until(() => refusals.length === 3)
  assert.deepEqual(refusals, ['body_too_large', 'overloaded', 'invalid_request'])
  assert.equal(memory.usedBytes, 0)
})

test('a large body that does not come is waited for for five minutes, and its call is over then, whatever still comes', async t => {
  const memory = new BodyMemory(8 * 1024 * 1024)
  let received = 0
  const refused: string[] = []
  const { whole, port } = await serve(t, exchange =>
    Promise.resolve(exchange.receive(endpoint, memory)).then(
      body => {
        memory.release(body.length)
        received++
        exchange.writeHead(200, ['content-length', '5'])
        exchange.end('first')
      },
      (refusal: Refusal) => void refused.push(refusal.reason),
    ),
  )
  // On a connection whose answer before may not be out: its 72 seconds are not this one's.
  const { socket, answered } = await client(t, port)
  socket.write(ask('first'))
  await until(() => answered().endsWith('first'))
  socket.write(askLarge(large).subarray(0, 100_000))
  await until(() => memory.usedBytes === large.length)
  whole.check(performance.now() + 80_000)
  whole.check(performance.now() + 290_000)
  await delay(20)
  assert.ok(answered().endsWith('first'))
  whole.check(performance.now() + 301_000)
  await until(() => answered().endsWith('HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n'))
  socket.write(large.subarray(100_000 - 60))
  await until(() => socket.closed || socket.destroyed)
  assert.deepEqual([received, refused, memory.usedBytes], [1, ['invalid_request'], 0])
})

test('what is malformed is refused by the server', async t => {
  const { port } = await serve(t)
  const { socket, answered } = await client(t, port)
  socket.write('POST /mine HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab')
  await until(() => answered().startsWith('HTTP/1.1 400 Bad Request'))
})

test('requests sent ahead are answered in their order, those for the server too', async t => {
  const { port } = await serve(t, exchange => setTimeout(() => echo(exchange), 10))
  const { socket, answered } = await client(t, port)
  socket.write(ask('one') + ask('two') + ask('three', '/other') + ask('four'))
  await until(() => answered().includes('server POST /mine 4 four'))
  const order = ['mine one', 'mine two', 'server POST /other 5 three', 'server POST /mine 4 four']
  assert.deepEqual(
    [...order].sort((a, b) => answered().indexOf(a) - answered().indexOf(b)),
    order,
  )
})

test('what is sent ahead in pieces is taken in its order: a body is never read as a request', async t => {
  const bodies: string[] = []
  const { port } = await serve(t, exchange => {
    bodies.push(String(exchange.receive(endpoint, memory)))
    exchange.writeHead(200, ['content-length', '0'])
    setTimeout(() => exchange.end(), 2)
  })
  const hidden = ask('EVIL')
  const second = `${hidden}${'b'.repeat(100)}`
  const bytes = ask('first') + ask(second) + ask('third')
  for (let cut = 1; cut < bytes.length; cut += 7) {
    const { socket, answered } = await client(t, port)
    socket.setNoDelay(true)
    socket.write(bytes.slice(0, cut))
    await delay(cut % 4)
    const middle = Math.min(bytes.length, cut + 90)
    socket.write(bytes.slice(cut, middle))
    await new Promise(setImmediate)
    socket.write(bytes.slice(middle))
    await until(() => countOf(answered(), 'HTTP/1.1 200') === 3)
    assert.deepEqual(bodies.splice(0), ['first', second, 'third'], `cut at ${cut}`)
    socket.destroy()
  }
})

test('a client that goes on asking and reads nothing is not answered any further', async t => {
  let answers = 0
  const answer = Buffer.alloc(8 * 1024, 'x')
  const { port } = await serve(t, exchange => {
    answers++
    exchange.writeHead(200, ['content-length', String(answer.length)])
    exchange.end(answer)
  })
  const { socket } = await client(t, port)
  socket.pause()
  const total = 5_000
  let asked = 0
  const goOn = (): void => {
    while (asked < total && socket.write(ask(String(asked)))) asked++
    if (asked < total) socket.once('drain', goOn)
  }
  goOn()
  let before = -1
  while (before !== answers) {
    before = answers
    await delay(200)
  }
  assert.ok(answers > 0 && answers < total / 2, `${answers} answers for a client that reads none`)
})

test('one that sends more ahead than a few requests is let go', async t => {
  const closed: boolean[] = []
  const { port } = await serve(t, exchange => {
    exchange.on('close', () => closed.push(exchange.writableFinished))
  })
  const { socket } = await client(t, port)
  socket.write(ask('{}') + 'b'.repeat(400_000))
  await until(() => socket.destroyed)
  await until(() => closed.length === 1)
  assert.deepEqual(closed, [false])
})

test('whoever listens only after the client has left is told so', async t => {
  const told: string[] = []
  const { port } = await serve(t, exchange => {
    setTimeout(() => {
      told.push(`destroyed ${exchange.destroyed}`)
      exchange.on('close', () => told.push('close'))
    }, 60)
  })
  const { socket } = await client(t, port)
  socket.write(ask('{}'))
  await delay(20)
  socket.destroy()
  await until(() => told.length === 2)
  assert.deepEqual(told, ['destroyed true', 'close'])
})

test('an exchange that has ended has no power over the next one', async t => {
  const ended: WholeExchange[] = []
  const { port } = await serve(t, exchange => {
    for (const before of ended) {
      before.write(Buffer.from('late'))
      before.end('late')
      before.flushHeaders()
      before.destroy()
    }
    ended.push(exchange)
    echo(exchange)
  })
  const { socket, answered } = await client(t, port)
  for (const body of ['one', 'two', 'three']) {
    socket.write(ask(body))
    await until(() => answered().endsWith(`mine ${body}`))
  }
  assert.equal(countOf(answered(), 'late'), 0)
})

test('an answer without a body has none, whatever is written', async t => {
  const { port } = await serve(t, exchange => {
    exchange.writeHead(204, [])
    exchange.write(Buffer.from('HTTP/1.1 200 OK'))
    exchange.end('more')
  })
  const { socket, answered } = await client(t, port)
  socket.write(ask('{}'))
  await until(() => answered().endsWith('\r\n\r\n'))
  await delay(20)
  assert.equal(countOf(answered(), 'HTTP/1.1'), 1)
  assert.ok(answered().endsWith('\r\n\r\n'))
})

testOnce('small pieces cost little: a head byte by byte, a body in a buffer of its own size', t => {
  let room = 0
  const socket = Object.assign(new EventEmitter(), { destroyed: false, writableEnded: false, destroy: () => {} })
  const owner = {
    find: () => () => {},
    handOver: () => assert.fail('not for the server'),
    onClosed: () => {},
    isClosing: false,
    takeRoom: (bytes: number) => {
      room += bytes
      return true
    },
    freeRoom: (bytes: number) => {
      room -= bytes
    },
  }
  new ClientConnection(socket as unknown as Socket, owner, performance.now())
  const head = `POST /mine HTTP/1.1\r\nHost: a\r\nX-Long: ${'a'.repeat(7_800)}\r\nContent-Length: 60000\r\n\r\n`
  const concat = t.mock.method(Buffer, 'concat')
  for (const letter of head) socket.emit('data', Buffer.from(letter))
  assert.equal(room, head.length + 60_000, 'room for all of it, as soon as its length is known')
  for (let i = 0; i < 59_999; i++) socket.emit('data', Buffer.from('b'))
  assert.equal(concat.mock.callCount(), 0, 'nothing is put together again for each piece')
  assert.equal(room, head.length + 60_000)
  socket.emit('data', Buffer.from('b'))
  assert.equal(room, 0)
})

test('an answer without a length is chunked, and read whole by a client of Node’s', async t => {
  const { port } = await serve(t, async exchange => {
    exchange.writeHead(200, ['content-type', 'text/event-stream'])
    exchange.flushHeaders()
    for (let i = 0; i < 20; i++) {
      await delay(1)
      exchange.write(Buffer.from(`data: ${i}\n\n`))
    }
    exchange.end('data: [DONE]\n\n')
  })
  const sent = wireOf(t).request(port, { path: '/mine', method: 'POST' })
  sent.setHeader('content-length', 2).setHeader('connection', 'keep-alive')
  sent.end('{}')
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  assert.equal(response.headers['transfer-encoding'], 'chunked')
  const body = await text(response)
  assert.equal(body, `${Array.from({ length: 20 }, (_, i) => `data: ${i}\n\n`).join('')}data: [DONE]\n\n`)
})

test('a client that reads slowly stops its writer, which goes on when there is room', async t => {
  let written = 0
  let drains = 0
  const total = 400
  const { port } = await serve(t, exchange => {
    exchange.writeHead(200, ['content-type', 'application/octet-stream'])
    const goOn = (): void => {
      while (written < total) {
        written++
        if (!exchange.write(Buffer.alloc(64 * 1024, 'x'))) return
      }
      exchange.end()
    }
    exchange.on('drain', () => {
      drains++
      goOn()
    })
    goOn()
  })
  const { socket, answered } = await client(t, port)
  socket.pause()
  socket.write(ask('{}'))
  await until(() => written > 0)
  await delay(100)
  const before = written
  await delay(100)
  assert.equal(written, before)
  assert.ok(before < total, 'all of it was written for a client that reads nothing')
  socket.resume()
  await until(() => answered().endsWith('0\r\n\r\n'))
  assert.ok(drains > 0)
  assert.equal(countOf(answered(), 'x'), total * 64 * 1024)
})

test('a client that leaves closes its answer, unfinished; one that has its answer does not', async t => {
  const closed: boolean[] = []
  const { port } = await serve(t, exchange => {
    exchange.on('close', () => closed.push(exchange.writableFinished))
    if ((exchange.receive(endpoint, memory) as Buffer).toString() === 'now') {
      exchange.writeHead(200, ['content-length', '0'])
      exchange.end()
    }
  })
  const first = await client(t, port)
  first.socket.write(ask('now'))
  await until(() => closed.length === 1)
  assert.deepEqual(closed, [true])
  first.socket.write(ask('never'))
  await delay(20)
  first.socket.destroy()
  await until(() => closed.length === 2)
  const second = await client(t, port)
  second.socket.write(ask('never'))
  await delay(20)
  second.socket.end()
  await until(() => closed.length === 3)
  assert.deepEqual(closed, [true, false, false])
})

test('closing ends idle connections at once, and others behind their answer, which says so', async t => {
  let release = (): void => {}
  const { whole, port } = await serve(t, exchange => {
    release = () => echo(exchange)
  })
  const idle = await client(t, port)
  const busy = await client(t, port)
  busy.socket.write(ask('late'))
  await delay(30)
  const ends = [once(idle.socket, 'close'), once(busy.socket, 'close')]
  whole.close()
  await ends[0]
  release()
  await ends[1]
  assert.match(busy.answered(), /\r\nConnection: close\r\n\r\nmine late$/)
})

test('a connection that asks nothing, or does not finish asking, is ended; one that waits for its answer is not', async t => {
  const { whole, port } = await serve(t, () => {})
  const silent = await client(t, port)
  const slow = await client(t, port)
  slow.socket.write('POST /mine HT')
  const waiting = await client(t, port)
  waiting.socket.write(ask('{}'))
  await delay(30)
  whole.check(performance.now() + 20_000)
  await once(silent.socket, 'close')
  await once(slow.socket, 'close')
  assert.equal(slow.answered(), 'HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n')
  whole.check(performance.now() + 1_000_000)
  await delay(20)
  assert.equal(waiting.socket.closed, false)
})

test('a connection is kept for 72 s behind its answer, for 300 s while its client has not taken it', async t => {
  const { whole, port } = await serve(t, exchange => {
    const length = Number(String(exchange.receive(endpoint, memory)))
    exchange.writeHead(200, ['content-length', String(length)])
    exchange.end(Buffer.alloc(length, 'x'))
  })
  const quick = await client(t, port)
  const slow = await client(t, port)
  slow.socket.pause()
  slow.socket.write(ask(String(32 * 1024 * 1024)))
  quick.socket.write(ask('5'))
  await until(() => quick.answered().endsWith('xxxxx'))
  await new Promise(setImmediate)
  const now = performance.now()
  for (const seconds of [1, 65]) whole.check(now + seconds * 1_000)
  await delay(20)
  assert.deepEqual([quick.socket.closed, slow.socket.closed], [false, false])
  whole.check(now + 75_000)
  await until(() => quick.socket.closed)
  for (const seconds of [80, 290]) whole.check(now + seconds * 1_000)
  await delay(20)
  assert.equal(slow.socket.closed, false)
  whole.check(now + 310_000)
  slow.socket.resume()
  await until(() => slow.socket.closed)
})

test('where too much waits already, the server waits for the rest', async t => {
  const { whole, port } = await serve(t)
  assert.ok(whole.takeRoom(32 * 1024 * 1024))
  const { socket, answered } = await client(t, port)
  const bytes = ask('{"a":1}')
  socket.write(bytes.slice(0, 30))
  await delay(20)
  socket.write(bytes.slice(30))
  await until(() => answered().includes('server POST /mine 7 {"a":1}'))
})

test('what no header may hold is not written', async t => {
  const thrown: unknown[] = []
  const { port } = await serve(t, exchange => {
    try {
      exchange.writeHead(200, ['x-one', 'a\r\nx-two: b'])
    } catch (error) {
      thrown.push(error)
    }
    exchange.destroy()
  })
  const { socket } = await client(t, port)
  socket.write(ask('{}'))
  await once(socket, 'close')
  assert.equal(thrown.length, 1)
})
