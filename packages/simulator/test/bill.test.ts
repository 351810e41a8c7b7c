import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type BillRecord, type BillTotals, hashCredential, type ShownRequest } from '../src/index.ts'
import { chat, eventually, message, onlyRecord, post, startFor } from './simulator.ts'

test('a client that hangs up is seen before its answer ends, and billed for what was produced', async t => {
  const { simulator } = await startFor(t)
  for (const stream of [true, false]) {
    simulator.bill.reset()
    const abort = new AbortController()
    const asked = chat('input_tokens=50 output_tokens=1000 delay_ms=10 reasoning=2', { stream })
    const response = post(simulator, '/v1/chat/completions', asked, abort.signal)
    if (stream) {
      const reader = (await response).body?.getReader()
      let text = ''
      while (!text.includes(' sky')) text += Buffer.from((await reader?.read())?.value ?? []).toString()
    } else {
      response.catch(() => undefined)
      const running = await eventually(() => simulator.bill.since()[0])
      await eventually(() => Date.now() - running.started_at_ms > 60)
    }
    const abortedAt = Date.now()
    abort.abort()
    const record = await eventually(() => simulator.bill.since().find(({ ended }) => ended === 'aborted'))
    assert.ok(record.abort_seen_at_ms !== null && record.abort_seen_at_ms >= abortedAt)
    t.diagnostic(`seen after ${record.abort_seen_at_ms - abortedAt} ms`)
    const { generated_output_tokens: generated, billed } = record
    assert.ok(generated >= (stream ? 5 : 1) && generated < 900, `${generated} tokens`)
    assert.equal(billed.output, generated)
    assert.equal(billed.output_thinking, Math.min(2, generated))
    assert.equal(record.cost_nano_usd, 50 * 750 + generated * 4_500)
    assert.equal(simulator.bill.totals().running, 0)
  }
})

test('a client that hangs up while the model is silent is seen long before the model speaks', async t => {
  const { simulator } = await startFor(t)
  const abort = new AbortController()
  const asked = message('first_delay_ms=60000', { stream: true })
  await post(simulator, '/v1/messages', asked, abort.signal)
  const abortedAt = Date.now()
  abort.abort()
  const record = await eventually(() => simulator.bill.since().find(({ ended }) => ended === 'aborted'))
  assert.ok(record.abort_seen_at_ms !== null && record.abort_seen_at_ms >= abortedAt)
  t.diagnostic(`seen after ${record.abort_seen_at_ms - abortedAt} ms`)
  assert.equal(record.billed.output, 0)
  assert.ok(record.cost_nano_usd > 0)
})

test('the cadence is kept: chunks, bursts and the first wait', async t => {
  const { simulator } = await startFor(t)
  const started = performance.now()
  const asked = chat('output_tokens=40 tokens_per_chunk=2 burst=5 delay_ms=20 first_delay_ms=30', { stream: true })
  const body = await (await post(simulator, '/v1/chat/completions', asked)).text()
  const elapsed = performance.now() - started
  assert.equal(body.split('"delta":{"content"').length - 1, 20)
  // 20 chunks in bursts of five: the first wait, then three more.
  assert.ok(elapsed >= 85, `${elapsed} ms`)
})

test('the bill of one credential is read alone', async t => {
  const { simulator, openai } = await startFor(t)
  for (const apiKey of ['sk-one', 'sk-other', 'sk-one'])
    await openai.withOptions({ apiKey }).chat.completions.create(chat('output_tokens=1'))
  const hash = hashCredential('sk-one')
  const { records } = await readJson<BillReply>(`${simulator.url}/simulator/bill?since=1&credential_sha256=${hash}`)
  assert.deepEqual(
    records.map(({ seq, credential_sha256 }) => [seq, credential_sha256]),
    [[3, hash]],
  )
})

test('the bill is read over HTTP from a position, summed and reset', async t => {
  const { simulator, openai } = await startFor(t)
  await openai.chat.completions.create(chat('output_tokens=1'))
  await openai.chat.completions.create(chat('output_tokens=2', { model: 'gpt-4o-mini' }))
  const read = (since: number) => readJson<BillReply>(`${simulator.url}/simulator/bill?since=${since}`)
  const all = await read(0)
  assert.equal(all.records.length, 2)
  const sum = all.records.reduce((total, { cost_nano_usd }) => total + cost_nano_usd, 0)
  assert.equal(all.totals.cost_nano_usd, String(sum))
  assert.deepEqual(Object.keys(all.totals.cost_nano_usd_by_model), ['gpt-5.4-mini', 'gpt-4o-mini'])
  const later = await read(all.next_since - 1)
  assert.deepEqual(
    later.records.map(({ model }) => model),
    ['gpt-4o-mini'],
  )
  const one = await readJson(`${simulator.url}/simulator/bill/${all.records[0]?.bill_id}`)
  assert.deepEqual(one, all.records[0])
  assert.equal((await fetch(`${simulator.url}/simulator/bill`, { method: 'DELETE' })).status, 204)
  const empty = await read(0)
  assert.deepEqual([empty.records, empty.totals.calls, empty.totals.cost_nano_usd], [[], 0, '0'])
})

test('a request is shown as it arrived, byte for byte, but for its credentials', async t => {
  const { simulator } = await startFor(t)
  const body = '{ "model":"gpt-5.4-mini",  "messages":[{"role":"user","content":"h\\u00e9 🌊"}] }'
  const response = await fetch(`${simulator.url}/openai/v1/chat/completions?x=1`, {
    method: 'POST',
    headers: { authorization: 'Bearer sk-secret', via: '1.1 sluice-abc', 'X-Odd': 'Kept', 'x-sim-output-tokens': '3' },
    body,
  })
  assert.match(await response.text(), /"completion_tokens":3/)
  const id = response.headers.get('x-request-id') ?? ''
  const shown = await readJson<ShownRequest>(`${simulator.url}/simulator/requests/${id}`)
  assert.equal(Buffer.from(shown.body_base64, 'base64').toString(), body)
  assert.equal(shown.body, body)
  assert.equal(shown.target, '/openai/v1/chat/completions?x=1')
  const headers = new Map<string, string>(shown.headers.map(([name, value]) => [name.toLowerCase(), value]))
  assert.equal(headers.get('via'), '1.1 sluice-abc')
  assert.equal(headers.get('x-odd'), 'Kept')
  const { credential_sha256 } = onlyRecord(simulator)
  assert.equal(headers.get('authorization'), `sha256:${credential_sha256}`)
  assert.ok(!JSON.stringify(shown).includes('sk-secret'))
  for (const [text, ids] of [
    ['', [id]],
    ['completions?x=1', [id]],
    ['/v1/messages', []],
  ] as const) {
    const query = new URLSearchParams({ target: text })
    assert.deepEqual(await readJson(`${simulator.url}/simulator/requests?${query}`), { ids })
  }
})

interface BillReply {
  readonly records: readonly BillRecord[]
  readonly next_since: number
  readonly totals: BillTotals
}

async function readJson<T = unknown>(url: string): Promise<T> {
  return (await (await fetch(url)).json()) as T
}
