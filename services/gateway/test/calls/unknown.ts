import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { type GatewayStack, readChunks, type TestProject } from '../gateway-stack.ts'
import { inPieces, type ScriptedProvider } from '../scripted-provider.ts'

const shapes = {
  chat: {
    path: '/v1/chat/completions',
    bodyOf: (text: string) => ({
      model: 'gpt-5.4-mini',
      stream_options: { include_usage: true },
      messages: [{ role: 'user', content: text }],
    }),
  },
  responses: { path: '/v1/responses', bodyOf: (text: string) => ({ model: 'gpt-5.4-mini', input: text }) },
  messages: {
    path: '/anthropic/v1/messages',
    bodyOf: (text: string) => ({
      model: 'claude-sonnet-4-6',
      max_tokens: 1_000,
      messages: [{ role: 'user', content: text }],
    }),
  },
}

/** What a provider of tomorrow says: events and members that this code has never seen pass, and metering does not mind. */
export function theUnknownPasses(gateway: GatewayStack, provider: ScriptedProvider, scripted: TestProject): void {
  const seed = Number(process.env.SLUICE_SEED ?? Date.now() % 1_000_000)

  suite('what nobody knows yet', { concurrency: 3 }, () => {
    for (const [shape, { path, bodyOf }] of Object.entries(shapes)) {
      for (const stream of [true, false]) {
        test(`unknown ${stream ? 'events and ' : ''}members pass byte for byte and change no quantity: ${shape}`, async t => {
          t.diagnostic(`SLUICE_SEED=${seed}`)
          const unknown = new Unknown(seed)
          const body = { ...bodyOf('[[sim output_tokens=30 reasoning=8 cached=3]]'), stream }
          const honest = await fetch(`${gateway.stack.simulatorUrl}${path.replace('/anthropic', '')}`, {
            method: 'POST',
            headers: { authorization: 'Bearer direct', 'content-type': 'application/json' },
            body: JSON.stringify(body),
          })
          const type = honest.headers.get('content-type') ?? ''
          const known = await honest.text()
          const settle = async (bytes: Buffer) => {
            const script = provider.add({
              headers: ['content-type', type],
              chunks: inPieces(bytes, 1 + unknown.below(700)),
            })
            const answer = await gateway.post(path, scripted.apiKey, body, { headers: { 'x-script': script } })
            assert.ok(Buffer.concat(await readChunks(answer.body)).equals(bytes), 'byte for byte')
            return gateway.eventOf(answer.headers.get('sluice-call-id'))
          }
          const expected = await settle(Buffer.from(known))
          assert.ok(expected.cost_nano_usd > 0)
          for (let round = 0; round < 8; round++) {
            const odd = stream ? unknown.inStream(known) : unknown.inJson(known)
            const event = await settle(Buffer.from(odd))
            for (const name of ['status', 'quantities', 'provenance', 'modifiers', 'cost_nano_usd', 'doubts'] as const)
              assert.deepEqual(event[name], expected[name], name)
            assert.equal(event.served_model, expected.served_model)
            assert.equal(event.response_id, expected.response_id)
          }
        })
      }
    }
  })
}

/** Makes things up, the same for the same seed. */
class Unknown {
  #state: number

  constructor(seed: number) {
    this.#state = seed
  }

  below(limit: number): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((this.#state / 4_294_967_296) * limit)
  }

  /** A member's name; no dialect has one that begins so. */
  name(): string {
    return `tomorrow_${this.below(1_000)}`
  }

  /** As it is written, which a writer that parses would not write again. */
  value(depth = 0): string {
    const kinds = [
      'null',
      '1e3',
      '12345678901234567890',
      '-0.0',
      'true',
      '"a\\u00e9 \\ud83d\\ude00 \\/"',
      '[ ]',
      '"[DONE]"',
    ]
    const kind = this.below(kinds.length + (depth < 3 ? 3 : 0))
    if (kind < kinds.length) return kinds[kind] as string
    if (kind === kinds.length) return `[${this.value(depth + 1)} ,${this.value(depth + 1)}]`
    return `{ "${this.name()}":${this.value(depth + 1)}, "usage" : {"output_tokens":null} }`
  }

  /** Members behind the brace of some of a text's objects. */
  inJson(json: string): string {
    return json.replaceAll(/\{(?=")/g, brace => (this.below(4) === 0 ? `{"${this.name()}" : ${this.value()},` : brace))
  }

  /** The same in a stream, with events and comments between its own. */
  inStream(text: string): string {
    const parts = text.split(/(?<=\n\n)/).map(event => (this.below(2) === 0 ? this.inJson(event) : event))
    for (let added = 0; added < 10; added++) parts.splice(this.below(parts.length), 0, this.event())
    return parts.join('')
  }

  event(): string {
    const name = this.name()
    const events = [
      `event: ${name}\ndata: {"type":"${name}","${this.name()}":${this.value()}}\n\n`,
      `data: {"${this.name()}":${this.value()}}\n\n`,
      `: ${name}\n\n`,
      `id: ${name}\nretry: 10\nevent: ${name}\n\n`,
      `data: {"type":"response.${name}.delta","delta":{"a":1}}\n\n`,
      `event: ${name}\ndata: {"type":"${name}",\ndata: "x":1}\n\n`,
      'data: 17\n\n',
      'data:\n\n',
    ]
    return events[this.below(events.length)] as string
  }
}
