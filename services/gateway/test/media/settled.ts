import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { eventually, sized } from '@sluice/test-env'
import OpenAI from 'openai'
import { beforeTheEnd } from '../before-the-end.ts'
import { type GatewayStack, requestIdOf, type TestProject } from '../gateway-stack.ts'
import { mediaCalls } from './media-calls.ts'

/** Every call for sound and images, by the official client, costs what its provider bills. */
export function mediaIsSettled(gateway: GatewayStack, projects: Record<'cancel' | 'drain', TestProject>): void {
  /** The official client, with what it sent and what it was answered, byte for byte. */
  function watched(baseURL: string, apiKey: string) {
    const seen: { sent: Buffer; answer: Response; got: Promise<Buffer> }[] = []
    const client = new OpenAI({
      apiKey,
      baseURL,
      maxRetries: 0,
      fetch: async (url, init) => {
        const request = new Request(url as string, init as RequestInit)
        const sent = Buffer.from(await request.arrayBuffer())
        const answer = await fetch(url as string, { ...(init as RequestInit), headers: request.headers, body: sent })
        const [first, second] = answer.body?.tee() ?? []
        const got = new Response(second).arrayBuffer().then(bytes => Buffer.from(bytes))
        seen.push({ sent, answer, got })
        return new Response(first ?? null, answer)
      },
    })
    return { client, seen }
  }

  suite('calls that come to their end', { concurrency: 4 }, () => {
    for (const { name, ask, isEstimated } of mediaCalls) {
      test(`settles to the provider's own bill, and passes byte for byte: ${name}`, async () => {
        const through = watched(gateway.stack.openaiBaseUrl, projects.drain.apiKey)
        const direct = watched(`${gateway.stack.simulatorUrl}/v1`, 'sk-direct')
        await ask(through.client, {})
        await ask(direct.client, {})
        const [ours, theirs] = [through.seen[0], direct.seen[0]]
        assert.ok(ours && theirs)
        const bill = await gateway.closedBillOf(requestIdOf(ours.answer))
        const event = await gateway.eventOf(ours.answer.headers.get('sluice-call-id'))
        assert.ok(bill.cost_nano_usd > 0)
        assert.equal(event.cost_nano_usd, bill.cost_nano_usd)
        assert.deepEqual([event.status, event.priced, event.error_code], ['completed', true, undefined])
        assert.equal(event.endpoint, bill.endpoint.slice('/v1/'.length).replaceAll('/', '.'))
        for (const [quantity, mark] of Object.entries(event.provenance))
          assert.equal(mark, isEstimated ? 'estimated' : 'measured', quantity)

        const arrived = await gateway.arrived(requestIdOf(ours.answer))
        assert.deepEqual(arrived.header('content-length'), [String(arrived.bytes.length)])
        if (!isSpliced(ours.sent, arrived.bytes)) assert.ok(arrived.bytes.equals(ours.sent), 'what the provider got')
        assert.equal(undated(await ours.got), undated(await theirs.got), 'what the client got')
        const type = (answer: Response) => answer.headers.get('content-type')
        assert.equal(type(ours.answer), type(theirs.answer))
      })
    }
  })

  /** Speech whose tokens only events tell: the client asked for sound, and one member was added or changed for it. */
  function isSpliced(sent: Buffer, arrived: Buffer): boolean {
    const [asked, got] = [sent, arrived].map(bytes => (bytes[0] === 0x7b ? JSON.parse(bytes.toString()) : {}))
    if (got.stream_format !== 'sse' || asked.stream_format === 'sse') return false
    assert.match(asked.model, /^gpt-4o-mini-tts/)
    const marked = /,"stream_format":"sse"/
    const changed = sent.toString().replace('"stream_format":"audio"', '"stream_format":"sse"')
    assert.ok([changed, `${changed.slice(0, -1)},"stream_format":"sse"}`].includes(arrived.toString()))
    assert.match(arrived.toString(), marked)
    return true
  }

  function undated(bytes: Buffer): string {
    return bytes.toString('latin1').replaceAll(/"created(_at)?":\d+/g, '"created":0')
  }

  suite('clients that leave', { concurrency: 6 }, () => {
    /** Leaves when the provider is at work. @returns the provider's record and the event */
    async function leaveInTheMiddle(policy: 'cancel' | 'drain', call: (typeof mediaCalls)[number]) {
      const left = await beforeTheEnd(
        everyMs => leaveAfterAWhile(policy, call, everyMs),
        each => [each.event],
        350,
      )
      assert.equal(left.event.status, 'aborted')
      return left
    }
    async function leaveAfterAWhile(policy: 'cancel' | 'drain', { ask }: (typeof mediaCalls)[number], everyMs: number) {
      // The same pace for all: the work is under way and far from done.
      const headers = { 'x-sim-delay-ms': `${everyMs}`, 'x-sim-first-delay-ms': '300', 'x-sim-tokens-per-chunk': '4' }
      const project = await gateway.newProject({
        ownCredential: true,
        settings: { on_client_abort: { openai: policy } },
      })
      const leave = new AbortController()
      const asked = ask(gateway.openai(project.apiKey), { headers, signal: leave.signal })
      // Of a stream the client's library says nothing when it is left.
      const left = asked.catch(() => undefined)
      await eventually(async () => (await gateway.billsOf(project)).length > 0, { intervalMs: 20 })
      await new Promise(resolve => setTimeout(resolve, 400))
      leave.abort()
      await left
      const bill = await eventually(async () =>
        (await gateway.billsOf(project)).find(found => found.ended !== 'running'),
      )
      const event = await eventually(() => gateway.eventsOf(project.projectId)[0])
      return { bill, event }
    }

    const left = mediaCalls.filter(({ name }) => !/dated|newer|smaller|high definition|SRT|VTT|verbose/.test(name))
    for (const [index, call] of left.entries()) {
      // Under both, or under one and the other in turn.
      const policies = sized({ small: [index % 2 === 0 ? 'drain' : 'cancel'], full: ['drain', 'cancel'] })
      if (policies.includes('drain'))
        test(`drain: a client that leaves pays what the provider bills: ${call.name}`, async () => {
          const { bill, event } = await leaveInTheMiddle('drain', call)
          assert.equal(bill.ended, 'completed')
          assert.equal(event.cost_nano_usd, bill.cost_nano_usd)
          for (const mark of Object.values(event.provenance))
            assert.equal(mark, call.isEstimated ? 'estimated' : 'drained')
        })

      if (policies.includes('cancel'))
        test(`cancel: a client that leaves stops its provider, and the call is never free: ${call.name}`, async t => {
          const { bill, event } = await leaveInTheMiddle('cancel', call)
          assert.equal(bill.ended, 'aborted')
          assert.ok(event.cost_nano_usd > 0)
          for (const mark of Object.values(event.provenance)) assert.equal(mark, 'estimated')
          t.diagnostic(`recorded ${event.cost_nano_usd}, billed ${bill.cost_nano_usd} nano-USD`)
        })
    }
  })
}
