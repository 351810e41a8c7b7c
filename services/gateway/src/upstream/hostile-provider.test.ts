import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { sized } from '@sluice/test-env/test-size'
import { callProvider, startRawProvider } from '../../test/raw-provider.ts'

const ok = 'HTTP/1.1 200 OK\r\n'
const whole = (body: string, more = '') => `${ok}${more}content-length: ${body.length}\r\n\r\n${body}`
const stolen = whole('stolen')

interface Case {
  name: string
  text: string
  /** Body, or the code of the error. */
  end: { body: string } | { error: string }
  /** The provider closes behind it. */
  closes?: boolean
  /** The next call goes on the same connection. */
  kept?: boolean
  /**
   * Bytes stand behind the answer. Where they come later than it, on a connection that is in use again, nobody can tell
   * whose they are: that is how HTTP/1.1 is.
   */
  hasSurplus?: boolean
}

const cases: Case[] = [
  { name: 'a body of declared length', text: whole('{"a":1}'), end: { body: '{"a":1}' }, kept: true },
  {
    name: 'chunks with trailers',
    text: `${ok}transfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nx-sum: 1\r\nx-more: 2\r\n\r\n`,
    end: { body: 'abcde' },
    kept: true,
  },
  {
    name: 'trailers that claim a length',
    text: `${ok}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\ncontent-length: ${stolen.length}\r\n\r\n`,
    end: { body: 'abc' },
    kept: true,
  },
  {
    name: 'interim answers',
    text: `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n${whole('ok')}`,
    end: { body: 'ok' },
    kept: true,
  },
  {
    name: 'an interim answer that claims a body',
    text: `HTTP/1.1 103 Early Hints\r\ncontent-length: ${stolen.length}\r\n\r\n${whole('ok')}`,
    end: { body: 'ok' },
    kept: true,
  },
  { name: 'a connection that is said to be closed', text: whole('ok', 'connection: close\r\n'), end: { body: 'ok' } },
  { name: 'a body without a length', text: `${ok}\r\nto the end`, closes: true, end: { body: 'to the end' } },
  {
    name: 'a body that is too short',
    text: `${ok}content-length: 9\r\n\r\nhalf`,
    closes: true,
    end: { error: 'OTHER_SIDE_CLOSED' },
  },
  {
    name: 'chunks without their end',
    text: `${ok}transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n`,
    closes: true,
    end: { error: 'OTHER_SIDE_CLOSED' },
  },
  { name: 'nothing at all', text: '', closes: true, end: { error: 'OTHER_SIDE_CLOSED' } },
  { name: 'half a head', text: 'HTTP/1.1 200 OK\r\ncontent-', closes: true, end: { error: 'OTHER_SIDE_CLOSED' } },
  { name: 'an answer and a second one', text: whole('ok') + stolen, hasSurplus: true, end: { body: 'ok' } },
  {
    name: 'chunks and a second answer',
    text: `${ok}transfer-encoding: chunked\r\n\r\n0\r\n\r\n${stolen}`,
    hasSurplus: true,
    end: { body: '' },
  },
  {
    name: 'no body by status, and one behind it',
    text: `HTTP/1.1 204 No Content\r\ncontent-length: 6\r\n\r\n${stolen}`,
    hasSurplus: true,
    end: { body: '' },
  },
  {
    name: 'a length and chunks',
    text: `${ok}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n${stolen}`,
    end: { error: 'BAD_RESPONSE' },
  },
  {
    name: 'two lengths',
    text: `${ok}content-length: 0\r\ncontent-length: ${stolen.length}\r\n\r\n${stolen}`,
    end: { error: 'BAD_RESPONSE' },
  },
  {
    name: 'one length twice',
    text: `${ok}content-length: 2\r\ncontent-length: 2\r\n\r\nok`,
    end: { body: 'ok' },
    kept: true,
  },
  {
    name: 'a folded line',
    text: `${ok}x-a: b\r\n content-length: 0\r\ncontent-length: 2\r\n\r\nok`,
    end: { error: 'BAD_RESPONSE' },
  },
  { name: 'space before a colon', text: `${ok}content-length : 2\r\n\r\nok`, end: { error: 'BAD_RESPONSE' } },
  {
    name: 'chunks under another name',
    text: `${ok}transfer-encoding: xchunked\r\n\r\nok`,
    end: { error: 'BAD_RESPONSE' },
  },
  {
    name: 'a change of protocol',
    text: 'HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n',
    end: { error: 'BAD_RESPONSE' },
  },
  {
    name: 'a head that is too large',
    text: `${ok}${`x-a: ${'a'.repeat(1_000)}\r\n`.repeat(100)}`,
    end: { error: 'BAD_RESPONSE' },
  },
  { name: 'one line that is too large', text: `${ok}x-a: ${'a'.repeat(100_000)}`, end: { error: 'BAD_RESPONSE' } },
  { name: 'no HTTP', text: 'SSH-2.0-OpenSSH_9.9\r\n\r\n', end: { error: 'BAD_RESPONSE' } },
]

/** Cuts a text in pieces. */
type Cut = (text: string) => string[]
const inOne: Cut = text => [text]
const inBytes: Cut = text => (text.length > 2_000 ? (text.match(/[\s\S]{1,700}/g) ?? []) : [...text])

/** Writes pieces, each in a turn of the loop of its own. */
async function play(socket: Socket, pieces: readonly string[], closes: boolean): Promise<void> {
  socket.setNoDelay(true)
  for (const piece of pieces) {
    if (socket.destroyed) return
    socket.write(piece, 'latin1')
    await new Promise(resolve => setImmediate(resolve))
  }
  if (closes) socket.end()
}

for (const { name, text, end, closes, kept, hasSurplus } of cases) {
  for (const [how, cut] of [
    ['at once', inOne],
    ['byte by byte', inBytes],
  ] as const) {
    if (hasSurplus && cut === inBytes) continue
    test(`${name}, ${how}: the call ends as it should, and the next has an answer of its own`, async t => {
      const { pool, connections } = await startRawProvider(t, (socket, request) => {
        if (request.startsWith('GET /next')) socket.write(whole('next'))
        else void play(socket, cut(text), closes === true)
      })
      const { error, body } = await callProvider(pool)
      assert.deepEqual(
        'error' in end ? { error } : { body, error },
        'error' in end ? end : { ...end, error: undefined },
      )
      for (let i = 0; i < 2; i++) {
        const next = await callProvider(pool, { method: 'GET', path: '/next', body: Buffer.alloc(0) })
        assert.deepEqual([next.error, next.status, next.body], [undefined, 200, 'next'])
      }
      assert.equal(connections(), kept ? 1 : 2)
    })
  }
}

test('a connection that its provider has closed, or written to unasked, meanwhile is not used again', async t => {
  for (const leave of [
    (socket: Socket) => socket.end(),
    (socket: Socket) => socket.resetAndDestroy(),
    (socket: Socket) => socket.write('HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n'),
  ]) {
    const { pool, connections, server } = await startRawProvider(t, socket => socket.write(whole('ok')))
    const accepted = once(server, 'connection')
    await callProvider(pool)
    const [socket] = (await accepted) as [Socket]
    leave(socket)
    await delay(20)
    for (let i = 0; i < 2; i++) assert.equal((await callProvider(pool)).body, 'ok')
    assert.equal(connections(), 2)
  }
})

test('a call that meets the close of its connection is told so and never sent twice; what comes next has a fresh one', async t => {
  const seen: string[] = []
  const { pool, connections } = await startRawProvider(t, (socket, text) => {
    seen.push(text.split(' ', 2)[1] ?? '')
    if (text.startsWith('POST /billed')) socket.resetAndDestroy()
    else socket.write(whole('ok'))
  })
  await callProvider(pool, { path: '/first' })
  const lost = await callProvider(pool, { path: '/billed' })
  assert.ok(lost.error === 'ECONNRESET' || lost.error === 'OTHER_SIDE_CLOSED', lost.error)
  assert.deepEqual([lost.wasSent, lost.status], [true, 0])
  assert.equal((await callProvider(pool, { path: '/second' })).body, 'ok')
  assert.deepEqual([seen, connections()], [['/first', '/billed', '/second'], 2])
})

test('interim answers without end do not stretch the patience for the real one', async t => {
  const { pool } = await startRawProvider(t, socket => {
    const timer = setInterval(() => socket.write('HTTP/1.1 102 Processing\r\n\r\n'), 5)
    socket.on('close', () => clearInterval(timer))
  })
  const clock = setInterval(() => pool.check(performance.now()), 10)
  t.after(() => clearInterval(clock))
  assert.equal((await callProvider(pool, { headersTimeoutMs: 100 })).error, 'HEADERS_TIMEOUT')
})

// ── a fuzz, held against Node's own reader of HTTP ────────────────────────────────────────────────────────────────────

/** Numbers that are the same for the same seed. */
function randomOf(seed: number): (below: number) => number {
  let state = seed
  return below => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

const splinters = [
  '\r\n',
  '\r',
  '\n',
  ' ',
  '\t',
  '\0',
  ':',
  ';',
  ',',
  '0',
  'f',
  '-',
  '+',
  '\r\n ',
  '\r\n\r\n',
  'chunked',
  'close',
  'content-length: 1\r\n',
  'transfer-encoding: chunked\r\n',
  'HTTP/1.1 100 Continue\r\n\r\n',
  'HTTP/1.0',
  '\xff',
  stolen,
]

/** One or two changes anywhere: a splinter more, some bytes less, a byte turned, a piece twice. */
function damage(text: string, random: (below: number) => number): string {
  let damaged = text
  for (let changes = 1 + random(2); changes > 0; changes--) {
    const at = random(damaged.length + 1)
    const rest = damaged.slice(at)
    const change = random(4)
    if (change === 0) damaged = damaged.slice(0, at) + splinters[random(splinters.length)] + rest
    else if (change === 1) damaged = damaged.slice(0, at) + rest.slice(1 + random(4))
    else if (change === 2) damaged = damaged.slice(0, at) + String.fromCharCode(random(256)) + rest.slice(1)
    else damaged = damaged.slice(0, at) + rest.slice(0, random(30)) + rest
  }
  return damaged
}

function cutAnywhere(text: string, random: (below: number) => number): string[] {
  const pieces: string[] = []
  for (let at = 0; at < text.length; ) {
    const next = at + 1 + random(random(2) === 0 ? 4 : 200)
    pieces.push(text.slice(at, next))
    at = next
  }
  return pieces
}

/** What Node makes of an answer; undefined: an error. */
function askByNode(port: number, path: string): Promise<string | undefined> {
  return new Promise(resolve => {
    const agent = new Agent({ keepAlive: false })
    const asked = request({ host: '127.0.0.1', port, path, agent, method: 'POST' }, response => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => resolve(`${response.statusCode} ${Buffer.concat(chunks).toString('latin1')}`))
      response.on('error', () => resolve(undefined))
    })
    asked.on('error', () => resolve(undefined))
    asked.end('{}')
  })
}

test('damaged answers: each ends once, none reaches the next call, and what is read is what Node reads', async t => {
  const random = randomOf(20_260_101)
  const texts = new Map<string, { pieces: string[]; closes: boolean }>()
  let left = Promise.resolve()
  const { pool, server } = await startRawProvider(t, (socket, received) => {
    const [method, path = ''] = received.split(' ', 2)
    if (method === 'GET') return socket.write(whole(path))
    const { pieces, closes } = texts.get(path) ?? { pieces: [], closes: true }
    left = play(socket, pieces, closes).then(async () => {
      if (closes && !socket.closed) await new Promise(resolve => socket.once('close', resolve))
    })
  })
  const clock = setInterval(() => pool.check(performance.now()), 10)
  t.after(() => clearInterval(clock))
  const { port } = server.address() as AddressInfo
  const sources = cases.filter(({ end, hasSurplus }) => 'body' in end && !hasSurplus).map(({ text }) => text)
  const answers = sized({ small: 120, full: 600 })
  let read = 0
  for (let i = 0; i < answers; i++) {
    const text = damage(sources[i % sources.length] as string, random)
    // In pieces, from a provider that closes behind them; or at once, from one that goes on.
    const closes = random(2) === 0
    texts.set(`/${i}`, { pieces: closes ? cutAnywhere(text, random) : [text], closes })
    const { error, status, body } = await callProvider(pool, { path: `/${i}`, headersTimeoutMs: 30, idleTimeoutMs: 30 })
    await left
    const next = await callProvider(pool, { method: 'GET', path: `/next-${i}`, body: Buffer.alloc(0) })
    assert.deepEqual([next.error, next.body], [undefined, `/next-${i}`], JSON.stringify(text))
    if (error !== undefined) continue
    texts.set(`/${i}`, { pieces: [text], closes: true })
    const byNode = await askByNode(port, `/${i}`)
    // It refuses more: bytes behind the answer, what stands in trailers.
    if (byNode === undefined) continue
    read++
    assert.equal(`${status} ${body}`, byNode, JSON.stringify(text))
  }
  assert.ok(read > answers / 10, `only ${read} were read by both`)
})
