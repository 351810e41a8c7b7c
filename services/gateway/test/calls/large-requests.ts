import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { suite, test } from 'node:test'
import { setInterval } from 'node:timers'
import { sized } from '@sluice/test-env'
import { request as ask } from 'undici'
import type { GatewayStack } from '../gateway-stack.ts'
import { formOf } from '../media/files.ts'

const MiB = 1024 * 1024
/** What stands for the bytes of a picture or a page. */
const filler = '@@'

interface LargeRequest {
  path: string
  /** The largest body that the path takes. */
  limitBytes: number
  /** A request of this many bytes, all told. */
  ofSize: (bytes: number) => { type: string; body: Buffer }
  /** How often it is asked, one after the other. */
  times: number
  /**
   * Most that the gateway may grow by. A body in memory lies there twice for a moment; a form is spooled, and what has passed of it
   * lies there until it is collected, but never all of those that have come.
   */
  mayGrowBy: number
  refusal: RegExp
}

const json = (bytes: number, asked: object) => {
  const [before = '', behind = ''] = JSON.stringify(asked).split(filler)
  const body = Buffer.alloc(bytes, 'iVBORw0KGgoA')
  body.write(before)
  body.write(behind, bytes - Buffer.byteLength(behind))
  return { type: 'application/json', body }
}
const imageUrl = `data:image/png;base64,${filler}`
const inOpenAi = (limit: number) =>
  new RegExp(`^\\{"error":\\{"message":"[^"]*larger than ${limit} bytes.*"code":"body_too_large"`)

const requests: Record<string, LargeRequest> = {
  'a form of 50 MB of images': {
    path: '/v1/images/edits',
    limitBytes: 51 * MiB,
    ofSize(bytes) {
      const parts = (picture: Buffer) =>
        formOf([
          { name: 'model', value: 'gpt-image-1.5' },
          { name: 'prompt', value: 'A calm sea' },
          { name: 'image[]', value: picture.subarray(0, picture.length >> 1), file: 'a.png' },
          { name: 'image[]', value: picture.subarray(picture.length >> 1), file: 'b.png' },
        ])
      return parts(Buffer.alloc(bytes - parts(Buffer.alloc(0)).body.length, 'pixels'))
    },
    times: sized({ small: 4, full: 12 }),
    mayGrowBy: 3 * 51 * MiB,
    refusal: inOpenAi(51 * MiB),
  },
  'a message of 32 MB': {
    path: '/anthropic/v1/messages',
    limitBytes: 32 * MiB,
    ofSize: bytes =>
      json(bytes, {
        model: 'claude-sonnet-4-6',
        max_tokens: 20,
        messages: [
          {
            role: 'user',
            content: [
              { type: 'image', source: { type: 'base64', media_type: 'image/png', data: filler } },
              { type: 'text', text: 'What is it?' },
            ],
          },
        ],
      }),
    times: 1,
    mayGrowBy: 3 * 32 * MiB,
    refusal: new RegExp(
      `^\\{"type":"error","error":\\{"type":"request_too_large","message":"[^"]*larger than ${32 * MiB} bytes`,
    ),
  },
  'a chat of 128 MB': {
    path: '/v1/chat/completions',
    limitBytes: 128 * MiB,
    ofSize: bytes =>
      json(bytes, {
        model: 'gpt-5.4-mini',
        max_completion_tokens: 20,
        messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: imageUrl } }] }],
      }),
    times: 1,
    mayGrowBy: 3 * 128 * MiB,
    refusal: inOpenAi(128 * MiB),
  },
}

/** What a path takes at most passes byte for byte and in bounded memory; one byte more is refused. */
export function largeRequestsPass(gateway: GatewayStack): void {
  // `fetch` would make three copies of each body.
  const post = async (path: string, { type, body }: ReturnType<LargeRequest['ofSize']>) => {
    const headers = { authorization: `Bearer ${gateway.stack.apiKey}`, 'content-type': type }
    const answer = await ask(`${gateway.url}${path}`, { method: 'POST', headers, body })
    const header = (name: string) => answer.headers[name]?.toString() ?? null
    return { status: answer.statusCode, header, text: await answer.body.text() }
  }

  suite('large requests', () => {
    for (const [name, { path, limitBytes, ofSize, times, mayGrowBy, refusal }] of Object.entries(requests)) {
      test(`the largest request of its path arrives byte for byte, in bounded memory, and is metered: ${name}`, async t => {
        const request = ofSize(limitBytes)
        assert.equal(request.body.length, limitBytes)
        const sha256 = createHash('sha256').update(request.body).digest('hex')
        const memory = watchMemory(gateway)
        for (let time = 0; time < times; time++) {
          const answer = await post(path, request)
          assert.equal(answer.status, 200, answer.text)
          const requestId = answer.header('request-id') ?? answer.header('x-request-id')
          const arrived = await fetch(`${gateway.stack.simulatorUrl}/simulator/requests/${requestId}?digest`)
          assert.equal(((await arrived.json()) as { body_sha256: string }).body_sha256, sha256)
          const event = await gateway.eventOf(answer.header('sluice-call-id'))
          assert.equal(event.cost_nano_usd, (await gateway.closedBillOf(requestId)).cost_nano_usd)
        }
        const grown = memory.grown()
        t.diagnostic(`${times} of ${limitBytes / MiB} MiB: the gateway grew by ${Math.round(grown / MiB)} MiB`)
        if (process.platform === 'linux') assert.ok(grown < mayGrowBy, `${grown} bytes`)
        // Small bodies of calls that still run may be held.
        const held = /^gateway_body_memory_bytes(?:\{.*\})? (\d+)$/m.exec(await gateway.metrics())?.[1]
        assert.ok(Number(held) < 64 * 1024, `${held} bytes are held`)
      })

      test(`one byte more is refused in the dialect's words: ${name}`, async () => {
        const answer = await post(path, ofSize(limitBytes + 1))
        assert.equal(answer.status, 413)
        assert.match(answer.text, refusal)
      })
    }
  })
}

/** How much more of the machine's memory the gateway takes than now, at most. */
function watchMemory(gateway: GatewayStack): { grown: () => number } {
  const residentBytes = () => {
    if (process.platform !== 'linux') return 0
    const status = readFileSync(`/proc/${gateway.stack.services.gateway.pid}/status`, 'utf8')
    return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024
  }
  const before = residentBytes()
  let most = before
  const look = () => {
    most = Math.max(most, residentBytes())
  }
  const timer = setInterval(look, 5)
  return {
    grown() {
      clearInterval(timer)
      look()
      return most - before
    },
  }
}
